"""This module draws the curves of a run: by epoch and over time."""

import re
from typing import Any

import numpy as np
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from proto_gcn.report.figure import COLOURS, as_svg, figure
from proto_gcn.report.run_data import Machine, RunData

SIZE = 4.4, 2.5  # inches
POINTS = 400  # at most, of a curve over time


def training_curves(run: RunData) -> list[Markup]:
    """Draw loss, accuracy and learning rate by epoch; curves without values are left out."""
    if not run.epochs:
        return []
    drawn = [
        _by_epoch(run, "Training loss", {"loss": "loss"}),
        _accuracy(run),
        _by_epoch(run, "Learning rate", {"lr": "lr"}),
    ]
    return [svg for svg in drawn if svg is not None]


def _by_epoch(run: RunData, title: str, names: dict[str, str]) -> Markup | None:
    with figure(*SIZE) as drawn:
        axes = _epoch_axes(drawn.subplots(), title)
        if not _draw(axes, run.epochs, names):
            return None
        axes.set_ylim(bottom=0)
    return as_svg(drawn, f"{title} by epoch")


def _accuracy(run: RunData) -> Markup | None:
    with figure(*SIZE) as drawn:
        axes = _epoch_axes(drawn.subplots(), "Validation accuracy (%)")
        if not _draw(axes, run.epochs, _accuracies(run.epochs)):
            return None
        axes.set_ylim(0, 103)
        measured = [entry for entry in run.epochs if "top1" in entry]
        best = max(measured, key=lambda entry: entry["top1"])
        title = f"best top-1 {best['top1']:.1f} in epoch {best['epoch']}"
        axes.set_title(f"Validation accuracy (%), {title}")
        axes.plot(best["epoch"], best["top1"], "o", color=COLOURS[0], markersize=5)
        if axes.get_legend():
            axes.legend(loc="lower right")
    return as_svg(drawn, "Validation accuracy by epoch")


def _accuracies(epochs: list[dict[str, Any]]) -> dict[str, str]:
    """Return key -> label of the accuracies that were measured: top1, top5, ..., mean_class."""
    ks = sorted({int(key[3:]) for entry in epochs for key in entry if re.fullmatch(r"top\d+", key)})
    return {f"top{k}": f"top-{k}" for k in ks} | {"mean_class": "mean class"}


def _epoch_axes(axes: Axes, title: str) -> Axes:
    axes.set_title(title)
    axes.set_xlabel("epoch")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=8))
    return axes


def _draw(axes: Axes, epochs: list[dict[str, Any]], names: dict[str, str]) -> bool:
    """Draw these curves; return whether there were any values."""
    found = [name for name in names if any(name in entry for entry in epochs)]
    for name in found:
        points = [(entry["epoch"], entry[name]) for entry in epochs if name in entry]
        style = {"marker": "o", "markersize": 3} if len(points) < 8 else {}
        axes.plot(*zip(*points, strict=True), label=names[name], **style)  # type: ignore[arg-type]
    if len(found) > 1:
        axes.legend(ncols=len(found), loc="best")
    return bool(found)


def machine_curves(machine: Machine) -> list[Markup]:
    """Draw utilisation, memory and power over time; unknown ones are left out."""
    panels = {"Utilisation (%)": " %", "Memory used (GB)": " GB", "GPU power (W)": " W"}
    drawn = [_over_time(machine, title, unit) for title, unit in panels.items()]
    return [svg for svg in drawn if svg is not None]


def _over_time(machine: Machine, title: str, unit: str) -> Markup | None:
    curves = {
        name.removesuffix(unit): curve
        for name, curve in sorted(machine.curves.items())
        if name.endswith(unit) and np.isfinite(curve).any()
    }
    if not curves:
        return None
    with figure(*SIZE) as drawn:
        axes = drawn.subplots()
        axes.set_title(title)
        _draw_over_time(axes, machine.hours, curves)
        axes.set_ylim(0, 103 if unit == " %" else None)
    return as_svg(drawn, f"{title} over time")


def _draw_over_time(axes: Axes, hours: list[float], curves: dict[str, list[float]]) -> None:
    scale, unit = time_unit(hours[-1])
    for index, (name, curve) in enumerate(curves.items()):
        at, values = thinned(np.array(hours) * scale, np.array(curve))
        axes.plot(at, values, label=name, color=COLOURS[index % len(COLOURS)], linewidth=1.1)
    axes.set_xlabel(f"time ({unit})")
    axes.legend(ncols=min(4, len(curves)), loc="best")


def time_unit(hours: float) -> tuple[float, str]:
    """Return (units per hour, name of the unit) for a time axis of that length."""
    if hours < 1 / 20:
        return 3600, "seconds"
    return (60, "minutes") if hours < 2 else (1, "hours")


def thinned(at: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return means over at most POINTS equal spans of time; a span without values is a gap."""
    if len(at) <= POINTS:
        return at, values
    edges = np.linspace(at[0], at[-1], POINTS + 1)
    span = np.clip(np.searchsorted(edges, at, side="right") - 1, 0, POINTS - 1)
    known = np.isfinite(values)
    count = np.bincount(span[known], minlength=POINTS)
    total = np.bincount(span[known], weights=values[known], minlength=POINTS)
    means = np.divide(total, count, out=np.full(POINTS, np.nan), where=count > 0)
    return (edges[:-1] + edges[1:]) / 2, means
