"""The confusion matrix as a picture: rows are true classes, each row's shares sum to one.

Colour grows with the root of a share, so that one sample among many that went astray is seen.
"""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap, PowerNorm
from matplotlib.figure import Figure
from matplotlib.ticker import MultipleLocator
from torch import Tensor

from proto_gcn.report.figure import BLUE, INK, figure

FEW = 20  # so many classes are named, and their numbers written
#: Nothing is transparent, so that an empty cell has the colour of the page, light or dark.
SHARES = LinearSegmentedColormap.from_list("shares", [f"{BLUE}00", f"{BLUE}ff"])


def confusion_figure(matrix: Tensor, names: list[str]) -> Figure:
    """counts [L, L], indexed [label, prediction]."""
    classes = len(names)
    shares = (matrix.double() / matrix.sum(dim=1, keepdim=True).clamp(min=1)).numpy()
    side = min(7.5, 3.2 + 0.28 * classes)
    with figure(side + 0.6, side) as drawn:
        axes = drawn.subplots()
        image = axes.imshow(shares, cmap=SHARES, norm=PowerNorm(0.5, 0, 1), interpolation="none")
        _label(axes, names)
        if classes <= FEW:
            _write_counts(axes, matrix, shares)
        bar = drawn.colorbar(
            image, ax=axes, fraction=0.04, pad=0.02, label="share of the true class"
        )
        bar.outline.set_visible(False)
    return drawn


def _label(axes: Axes, names: list[str]) -> None:
    axes.grid(visible=False)
    axes.spines[["top", "right"]].set_visible(True)
    axes.set(xlabel="predicted class", ylabel="true class")
    if len(names) <= FEW:
        short = [name if len(name) <= 18 else f"{name[:17]}…" for name in names]
        turned = max(map(len, short)) > 3
        axes.set_xticks(
            range(len(names)),
            short,
            rotation=45 if turned else 0,
            ha="right" if turned else "center",
        )
        axes.set_yticks(range(len(names)), short)
        return
    step = 10 if len(names) <= 150 else 50
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(MultipleLocator(step))
        axis.set_minor_locator(MultipleLocator(step / 2))


def _write_counts(axes: Axes, matrix: Tensor, shares: np.ndarray) -> None:
    for true, row in enumerate(matrix.tolist()):
        for predicted, count in enumerate(row):
            if count:
                colour = "white" if shares[true, predicted] > 0.4 else INK
                axes.text(
                    predicted,
                    true,
                    str(count),
                    ha="center",
                    va="center",
                    color=colour,
                    fontsize=7.5,
                )
