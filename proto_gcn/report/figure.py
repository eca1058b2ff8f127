"""This module makes figures as SVG for the page.

Text and axes have the text colour of the page, so that they can be read on light and dark.
"""

import io
import itertools
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib as mpl
from cycler import cycler
from markupsafe import Markup, escape
from matplotlib.figure import Figure

from proto_gcn.atomic_file import write_atomically

INK = "#123457"  # placeholder: replaced by the page's text colour when the SVG is written
BLUE, ORANGE, GREEN, PURPLE = "#3b82c4", "#d97706", "#2f9e6e", "#9061c2"
COLOURS = BLUE, ORANGE, GREEN, PURPLE
STYLE: Any = {
    "font.family": "sans-serif",
    "font.size": 8.5,
    "text.parse_math": False,  # a class may be called $x$
    "svg.fonttype": "none",  # text stays text: it is small, sharp and searchable
    "svg.hashsalt": "proto-gcn",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 9.5,
    "axes.titlelocation": "left",
    "axes.grid": True,
    "grid.alpha": 0.15,
    "grid.linewidth": 0.8,
    "axes.linewidth": 0.7,
    "lines.linewidth": 1.6,
    "legend.frameon": False,
    "axes.prop_cycle": cycler(color=COLOURS),
    **dict.fromkeys(("text.color", "axes.edgecolor", "axes.labelcolor", "axes.titlecolor"), INK),
    **dict.fromkeys(("xtick.color", "ytick.color", "grid.color", "legend.labelcolor"), INK),
}
_numbers = itertools.count()


@contextmanager
def figure(width: float, height: float) -> Iterator[Figure]:
    """Yield an empty figure, sized in inches, without the global state of pyplot."""
    with mpl.rc_context(STYLE):
        yield Figure(figsize=(width, height), layout="constrained")


def as_svg(drawn: Figure, description: str) -> Markup:
    """Return the figure as an <svg> with unique ids; screen readers read the description."""
    text = io.StringIO()
    with mpl.rc_context(STYLE):
        metadata = dict.fromkeys(("Date", "Creator", "Format", "Type"))
        drawn.savefig(text, format="svg", transparent=True, metadata=metadata)
    svg = text.getvalue()
    svg = svg[svg.index("<svg") :].replace(INK, "currentColor")
    svg = re.sub(r"\s*<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r"font: ([\d.]+)px [^;\"]*", r"font-size: \1px", svg)  # the page sets the font
    svg = _with_own_ids(svg, f"f{next(_numbers)}-")
    return Markup(svg.replace("<svg ", f'<svg role="img" aria-label="{escape(description)}" ', 1))


def _with_own_ids(svg: str, prefix: str) -> str:
    svg = re.sub(r'\bid="', f'id="{prefix}', svg)
    return re.sub(r'(href="#|url\(#)', rf"\g<1>{prefix}", svg)


def save(drawn: Figure, path: Path) -> None:
    """Write the figure on white to a file of its own, atomically; raises OSError.

    The suffix of the name selects the format.
    """
    picture = io.BytesIO()
    with mpl.rc_context(STYLE | {"savefig.dpi": 200}):
        drawn.savefig(picture, format=path.suffix[1:], facecolor="white")
    write_atomically(path, picture.getvalue())
