"""What the network has learnt about joints that work together in a class, drawn on a skeleton."""

from typing import Any

import numpy as np
from markupsafe import Markup
from matplotlib.axes import Axes
from torch import Tensor

from proto_gcn import skeleton as layouts
from proto_gcn.report.figure import BLUE, INK, ORANGE, as_svg, figure
from proto_gcn.skeleton import Skeleton

EDGES = 20  # pairs that are drawn, the strongest

#: joint -> (right, up) of a standing figure who faces the reader
NTU = {
    **{0: (0, 0), 1: (0, 0.32), 20: (0, 0.62), 2: (0, 0.74), 3: (0, 0.94)},
    **{
        4: (0.22, 0.57),
        5: (0.38, 0.28),
        6: (0.47, 0.02),
        7: (0.5, -0.1),
        21: (0.54, -0.24),
        22: (0.42, -0.19),
    },
    **{12: (0.12, -0.05), 13: (0.17, -0.5), 14: (0.2, -0.95), 15: (0.28, -1.04)},
}
NTU_MIRROR = {4: 8, 5: 9, 6: 10, 7: 11, 21: 23, 22: 24, 12: 16, 13: 17, 14: 18, 15: 19}
COCO = {
    **{0: (0, 0.88), 19: (0, 0.6), 18: (0, 0.3), 17: (0, 0)},
    **{1: (0.06, 0.95), 3: (0.14, 0.9), 5: (0.22, 0.58), 7: (0.38, 0.28), 9: (0.47, 0)},
    **{11: (0.13, -0.03), 13: (0.17, -0.5), 15: (0.2, -0.95)},
}
COCO_MIRROR = {1: 2, 3: 4, 5: 6, 7: 8, 9: 10, 11: 12, 13: 14, 15: 16}


def _places(half: dict[int, tuple[float, float]], mirror: dict[int, int]) -> np.ndarray:
    """[V, 2] of the whole figure from one half of it."""
    both = half | {
        mirror[joint]: (-right, up) for joint, (right, up) in half.items() if joint in mirror
    }
    return np.array([both[joint] for joint in range(len(both))])


PLACES = {layouts.NTU: _places(NTU, NTU_MIRROR), layouts.COCO: _places(COCO, COCO_MIRROR)}
RINGS = 0.66, 1.0  # half the width and half the height that a computed drawing may have


def places_of(skeleton: Skeleton) -> np.ndarray:
    """[V, 2] of the figure that is known for a layout, else as a tree in rings around its centre."""
    return PLACES[skeleton] if skeleton in PLACES else np.array(skeleton.places()) * RINGS


def topology_figure(
    topology: Tensor, classes: list[int], names: list[str], skeleton: Skeleton
) -> Markup:
    """topology [L, V, V], of each class: above its strongest pairs, below what sets it apart from the mean."""
    matrices = topology.double().numpy()
    mean = np.nanmean(matrices, axis=0)
    with figure(2.3 * len(classes), 6.4) as drawn:
        grid: Any = drawn.subplots(2, len(classes), squeeze=False)
        for column, number in enumerate(classes):
            for axes, matrix in zip(
                grid[:, column], (matrices[number], matrices[number] - mean), strict=True
            ):
                draw_pairs(axes, matrix, skeleton)
            grid[0, column].set_title(
                names[number] if len(names[number]) < 26 else f"{names[number][:25]}…"
            )
        for row, words in enumerate(
            ("strongest joint pairs", "more (orange) or less (blue)\nthan in other classes")
        ):
            grid[row, 0].set_ylabel(words)
    return as_svg(
        drawn, f"Learnt topology of {', '.join(names[number] for number in classes)}, on a skeleton"
    )


def draw_pairs(axes: Axes, matrix: np.ndarray, skeleton: Skeleton) -> None:
    """The EDGES strongest pairs of a [V, V] matrix (both directions added) on the skeleton; width is strength."""
    places = places_of(skeleton)
    axes.grid(visible=False)
    axes.spines[:].set_visible(False)
    axes.set(xticks=[], yticks=[], aspect="equal", xlim=(-0.72, 0.72), ylim=(-1.15, 1.08))
    _draw_bones(axes, places, skeleton)
    pairs = strongest_pairs(matrix, EDGES)
    lowest, highest = abs(pairs[-1][2]), abs(pairs[0][2])
    for v, w, weight in reversed(pairs):
        share = (abs(weight) - lowest) / (highest - lowest or 1)
        style = {
            "linewidth": 0.4 + 2.6 * share,
            "alpha": 0.25 + 0.75 * share,
            "solid_capstyle": "round",
        }
        axes.plot(*_curve(places[v], places[w]), color=ORANGE if weight > 0 else BLUE, **style)  # type: ignore[arg-type]
    axes.plot(*places.T, "o", color=INK, markersize=2.6, zorder=5)


def strongest_pairs(matrix: np.ndarray, count: int) -> list[tuple[int, int, float]]:
    """(v, w, weight) with v < w, of the largest absolute weight first; a joint with itself is no pair."""
    both = np.nan_to_num(matrix + matrix.T) / 2
    v, w = np.triu_indices(len(both), k=1)
    order = np.argsort(-np.abs(both[v, w]), kind="stable")[:count]
    return [(int(v[i]), int(w[i]), float(both[v[i], w[i]])) for i in order]


def _draw_bones(axes: Axes, places: np.ndarray, skeleton: Skeleton) -> None:
    for child, parent in skeleton.edges:
        axes.plot(
            *places[[child, parent]].T,
            color=INK,
            alpha=0.28,
            linewidth=3.2,
            solid_capstyle="round",
            zorder=0,
        )


def _curve(start: np.ndarray, end: np.ndarray) -> np.ndarray:
    """[2, points]: a slight arc, because a straight line along the spine would hide those below it."""
    along = np.linspace(0, 1, 20)[:, None]
    across = (end - start)[::-1] * (0.12, -0.12)
    return (start + (end - start) * along + across * 4 * along * (1 - along)).T
