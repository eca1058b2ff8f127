"""This module draws the learned topology of classes on the skeleton."""

from typing import Any

import numpy as np
from markupsafe import Markup
from matplotlib.axes import Axes
from torch import Tensor

from proto_gcn import skeleton as layouts
from proto_gcn.report.figure import BLUE, INK, ORANGE, as_svg, figure
from proto_gcn.skeleton import Skeleton

EDGES = 20  # the number of pairs that are drawn

#: joint -> (right, up) of a standing figure that faces the reader
NTU = {
    **{0: (0, 0), 1: (0, 0.32), 20: (0, 0.62), 2: (0, 0.74), 3: (0, 0.94)},
    **{4: (0.22, 0.57), 5: (0.38, 0.28), 6: (0.47, 0.02), 7: (0.5, -0.1)},
    **{21: (0.54, -0.24), 22: (0.42, -0.19)},
    **{12: (0.12, -0.05), 13: (0.17, -0.5), 14: (0.2, -0.95), 15: (0.28, -1.04)},
}
NTU_MIRROR = {4: 8, 5: 9, 6: 10, 7: 11, 21: 23, 22: 24, 12: 16, 13: 17, 14: 18, 15: 19}
COCO = {
    **{0: (0, 0.88), 19: (0, 0.6), 18: (0, 0.3), 17: (0, 0)},
    **{1: (0.06, 0.95), 3: (0.14, 0.9), 5: (0.22, 0.58), 7: (0.38, 0.28), 9: (0.47, 0)},
    **{11: (0.13, -0.03), 13: (0.17, -0.5), 15: (0.2, -0.95)},
}
COCO_MIRROR = {1: 2, 3: 4, 5: 6, 7: 8, 9: 10, 11: 12, 13: 14, 15: 16}


def _positions(half: dict[int, tuple[float, float]], mirror: dict[int, int]) -> np.ndarray:
    """Return the positions [V, 2] of the whole figure from one half of it."""
    other = {mirror[joint]: (-right, up) for joint, (right, up) in half.items() if joint in mirror}
    both = half | other
    return np.array([both[joint] for joint in range(len(both))])


FIGURES = {layouts.NTU: _positions(NTU, NTU_MIRROR), layouts.COCO: _positions(COCO, COCO_MIRROR)}
HALF_SIZE = 0.66, 1.0  # half of the width and of the height of a computed drawing


def positions_of(skeleton: Skeleton) -> np.ndarray:
    """Return the positions [V, 2] of a standing figure, or of a tree for a custom layout."""
    known = FIGURES.get(skeleton)
    return np.array(skeleton.drawing()) * HALF_SIZE if known is None else known


ROWS = "strongest joint pairs", "more (orange) or less (blue)\nthan in other classes"


def topology_figure(
    topology: Tensor, classes: list[int], names: list[str], skeleton: Skeleton
) -> Markup:
    """Draw the topology [L, V, V] of some classes, one per column.

    The upper row shows the strongest pairs of a class, the lower row its difference to the mean.
    """
    matrices = topology.double().numpy()
    mean = np.nanmean(matrices, axis=0)
    with figure(2.3 * len(classes), 6.4) as drawn:
        grid: Any = drawn.subplots(2, len(classes), squeeze=False)
        for column, number in enumerate(classes):
            draw_pairs(grid[0, column], matrices[number], skeleton)
            draw_pairs(grid[1, column], matrices[number] - mean, skeleton)
            name = names[number]
            grid[0, column].set_title(name if len(name) < 26 else f"{name[:25]}…")
        for row, words in enumerate(ROWS):
            grid[row, 0].set_ylabel(words)
    listed = ", ".join(names[number] for number in classes)
    return as_svg(drawn, f"Learned topology of {listed}, on a skeleton")


def draw_pairs(axes: Axes, matrix: np.ndarray, skeleton: Skeleton) -> None:
    """Draw the EDGES strongest pairs of a [V, V] matrix; the width of a line is its strength.

    Both directions of a pair are added.
    """
    positions = positions_of(skeleton)
    axes.grid(visible=False)
    axes.spines[:].set_visible(False)
    axes.set(xticks=[], yticks=[], aspect="equal", xlim=(-0.72, 0.72), ylim=(-1.15, 1.08))
    _draw_bones(axes, positions, skeleton)
    _draw_curves(axes, positions, strongest_pairs(matrix, EDGES))
    axes.plot(*positions.T, "o", color=INK, markersize=2.6, zorder=5)


def _draw_curves(axes: Axes, positions: np.ndarray, pairs: list[tuple[int, int, float]]) -> None:
    weakest, strongest = abs(pairs[-1][2]), abs(pairs[0][2])
    for v, w, weight in reversed(pairs):
        share = (abs(weight) - weakest) / (strongest - weakest or 1)
        axes.plot(
            *_curve(positions[v], positions[w]),
            color=ORANGE if weight > 0 else BLUE,
            linewidth=0.4 + 2.6 * share,
            alpha=0.25 + 0.75 * share,
            solid_capstyle="round",
        )


def strongest_pairs(matrix: np.ndarray, count: int) -> list[tuple[int, int, float]]:
    """Return (v, w, weight) with v < w, the largest absolute weight first.

    The weight is the mean of both directions.
    """
    both = np.nan_to_num(matrix + matrix.T) / 2
    v, w = np.triu_indices(len(both), k=1)
    order = np.argsort(-np.abs(both[v, w]), kind="stable")[:count]
    return [(int(v[i]), int(w[i]), float(both[v[i], w[i]])) for i in order]


def _draw_bones(axes: Axes, positions: np.ndarray, skeleton: Skeleton) -> None:
    style: Any = {"alpha": 0.28, "linewidth": 3.2, "solid_capstyle": "round", "zorder": 0}
    for bone in skeleton.edges:
        axes.plot(*positions[[*bone]].T, color=INK, **style)


def _curve(start: np.ndarray, end: np.ndarray) -> np.ndarray:
    """Return [2, points] of a slight arc; straight lines along the spine would hide each other."""
    along = np.linspace(0, 1, 20)[:, None]
    across = (end - start)[::-1] * (0.12, -0.12)
    return (start + (end - start) * along + across * 4 * along * (1 - along)).T
