"""This module draws the confusion matrix: rows are true classes, and each row sums to one.

The colour grows with the square root of a share, so that a few misclassified samples are visible.
"""

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap, PowerNorm
from matplotlib.figure import Figure
from matplotlib.ticker import MultipleLocator
from torch import Tensor

from proto_gcn.report.figure import BLUE, INK, figure

FEW = 20  # up to so many classes the axes show names and the cells show numbers
#: The colour of 0 is transparent, so that an empty cell matches a light and a dark page.
SHARES = LinearSegmentedColormap.from_list("shares", [f"{BLUE}00", f"{BLUE}ff"])


def confusion_figure(matrix: Tensor, names: list[str]) -> Figure:
    """Draw counts [L, L], indexed [label, prediction]."""
    classes = len(names)
    shares = (matrix.double() / matrix.sum(dim=1, keepdim=True).clamp(min=1)).numpy()
    side = min(7.5, 3.2 + 0.28 * classes)
    with figure(side + 0.6, side) as drawn:
        axes = drawn.subplots()
        image = axes.imshow(shares, cmap=SHARES, norm=PowerNorm(0.5, 0, 1), interpolation="none")
        _label(axes, names)
        if classes <= FEW:
            _write_counts(axes, matrix, shares)
        label = "share of the true class"
        bar = drawn.colorbar(image, ax=axes, fraction=0.04, pad=0.02, label=label)
        bar.outline.set_visible(False)
    return drawn


def _label(axes: Axes, names: list[str]) -> None:
    axes.grid(visible=False)
    axes.spines[["top", "right"]].set_visible(True)
    axes.set(xlabel="predicted class", ylabel="true class")
    if len(names) <= FEW:
        _write_names(axes, [name if len(name) <= 18 else f"{name[:17]}…" for name in names])
        return
    step = 10 if len(names) <= 150 else 50
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(MultipleLocator(step))
        axis.set_minor_locator(MultipleLocator(step / 2))


def _write_names(axes: Axes, names: list[str]) -> None:
    slanted = max(map(len, names)) > 3
    rotation, side = (45, "right") if slanted else (0, "center")
    axes.set_xticks(range(len(names)), names, rotation=rotation, ha=side)
    axes.set_yticks(range(len(names)), names)


def _write_counts(axes: Axes, matrix: Tensor, shares: np.ndarray) -> None:
    style: Any = {"ha": "center", "va": "center", "fontsize": 7.5}
    for true, row in enumerate(matrix.tolist()):
        for predicted, count in enumerate(row):
            if count:
                colour = "white" if shares[true, predicted] > 0.4 else INK
                axes.text(predicted, true, str(count), color=colour, **style)
