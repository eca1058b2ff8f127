"""A run as one page, report.html: no script, nothing fetched, at most 4 MB (the only files that import matplotlib).

run_data.py    what a run folder holds, also an unfinished one's
figure.py      figures as SVG that is readable on a light and on a dark page
curves.py      loss, accuracy, learning rate; GPU, CPU and memory over time
confusion.py   the confusion matrix
topology.py    what a class's topology adds to the skeleton
page.py        all of it in page.html.j2
at_end.py      what a training does last: scores, then the page
"""

import logging

# Before it is imported: that it makes its font cache, or finds no home for it, is no concern of whoever trains.
logging.getLogger("matplotlib").setLevel(logging.ERROR)
