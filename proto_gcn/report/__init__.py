"""This package writes a run as one page, report.html, without scripts or requests, at most 4 MB.

writer.py      the scores of the best checkpoint, then the page
run_data.py    reads a run folder, also that of an unfinished run
page.py        fills page.html.j2
figure.py      figures as SVG that can be read on a light and on a dark page
curves.py      loss, accuracy, learning rate; GPU, CPU and memory over time
confusion.py   the confusion matrix
topology.py    the learned topology of a class, drawn on the skeleton

Only these files import matplotlib.
"""

import logging

# Set before the import: messages about its font cache or home folder do not concern the user.
logging.getLogger("matplotlib").setLevel(logging.ERROR)
