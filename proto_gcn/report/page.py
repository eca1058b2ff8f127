"""This module fills page.html.j2 with the figures, tables and sentences of a run."""

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import torch
from jinja2 import Environment, PackageLoader, StrictUndefined, Template
from markupsafe import Markup
from torch import Tensor

from proto_gcn.config.train import GraphConfig
from proto_gcn.engine.reporting.run_log import duration
from proto_gcn.evaluation.metrics import confusion, measure_all, recalls
from proto_gcn.evaluation.score_file import ScoreFile
from proto_gcn.report.confusion import confusion_figure
from proto_gcn.report.curves import machine_curves, training_curves
from proto_gcn.report.figure import as_svg
from proto_gcn.report.run_data import RunData
from proto_gcn.report.topology import topology_figure

LISTED = 10  # classes in the list of the best, and in that of the worst


@dataclass(frozen=True)
class ClassRow:
    """The results of one class.

    `taken_for` is the class that its samples are most often mistaken for, with their number.
    """

    number: int
    name: str
    samples: int
    recall: float
    taken_for: str


def render(run: RunData, names: list[str], notes: list[str]) -> str:
    """Return the HTML of the page; notes say what is missing and why."""
    rows = class_rows(run.scores, names) if run.scores else []
    ranked = sorted(rows, key=lambda row: (-row.recall, row.number))
    shown = LISTED if len(ranked) > 2 * LISTED else len(ranked) // 2
    return _template().render(
        run=run,
        title=title(run),
        figures=figures(run),
        facts=facts(run),
        notes=notes,
        training=training_curves(run),
        machine=machine_curves(run.machine),
        best=ranked[:shown],
        worst=ranked[::-1][:shown],
        classes=rows,
        settings=list(flat(run.config)),
        scored=scored_words(run.scores),
        **_score_figures(run, names, ranked),
    )


def _template() -> Template:
    environment = Environment(
        loader=PackageLoader("proto_gcn.report", "."), autoescape=True, undefined=StrictUndefined
    )
    environment.trim_blocks = True
    environment.lstrip_blocks = True
    return environment.get_template("page.html.j2")


def _score_figures(
    run: RunData, names: list[str], ranked: list[ClassRow]
) -> dict[str, Markup | None]:
    return {
        "confusion": _confusion(run.scores, names),
        "topology": _topology(run, names, ranked),
    }


def title(run: RunData) -> str:
    """Return data set, split and stream in one line."""
    data = Path(str(run.setting("data", "ann_file") or "")).stem
    split = str(run.setting("data", "val_split") or "")
    stream = run.setting("modality")
    words = [data, split, f"stream {stream}" if stream else ""]
    return " · ".join(word for word in words if word)


def figures(run: RunData) -> list[tuple[str, str]]:
    """Return the few numbers at the top of the page, each with its name."""
    done = run.epochs[-1]["epoch"] if run.epochs else 0
    planned = run.config.get("total_epochs", "?")
    shown = [*_accuracies(run), ("epochs", f"{done} of {planned}")]
    if run.result and "duration_s" in run.result:
        shown.append(("duration", duration(run.result["duration_s"])))
    return shown


_METRICS = {"top1": "top-1", "top5": "top-5", "mean_class": "mean class"}


def _accuracies(run: RunData) -> list[tuple[str, str]]:
    if run.scores:
        measured = measure_all(run.scores.scores, run.scores.labels)
        return [(_METRICS[name], f"{value:.2f} %") for name, value in measured.items()]
    if run.epochs and run.epochs[-1].get("best_top1") is not None:
        return [("best top-1", f"{run.epochs[-1]['best_top1']:.2f} %")]
    return []


#: Keys of the start line in metrics.jsonl, and their names on the page.
_START = {
    "device": "device",
    "parameters": "parameters",
    "train_samples": "training samples",
    "val_samples": "validation samples",
    "steps": "steps per epoch",
    "seed": "seed",
    "config": "config",
}
_NOT_LISTED = "status", "duration_s", "job_id"


def facts(run: RunData) -> list[tuple[str, str]]:
    """Return the numbers of the run that no figure shows, each with its name."""
    start = run.starts[-1] if run.starts else {}
    found = [(name, _count(key, start[key])) for key, name in _START.items() if key in start]
    if run.starts:
        found += [("started", when(run.starts[0]["at"])), ("starts", str(len(run.starts)))]
    speeds = sorted(entry["samples_per_s"] for entry in run.epochs if "samples_per_s" in entry)
    if speeds:
        found.append(("samples/s (median)", f"{speeds[len(speeds) // 2]:g}"))
    result = (run.result or {}).items()
    return found + [
        (key.replace("_", " "), _number(value)) for key, value in result if key not in _NOT_LISTED
    ]


def _count(key: str, value: object) -> str:
    return f"{value:,}" if key != "seed" and isinstance(value, int) else str(value)


def when(at: str) -> str:
    """Format an ISO time for the page."""
    return datetime.fromisoformat(at).strftime("%Y-%m-%d %H:%M UTC")


def _number(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def scored_words(scores: ScoreFile | None) -> str:
    """Say which checkpoint and samples the accuracies belong to."""
    if scores is None:
        return ""
    clips = "1 clip" if scores.about.clips == 1 else f"{scores.about.clips} clips"
    name = Path(scores.about.checkpoint).name
    return f"{name} on {len(scores.names):,} samples of {scores.about.split}, {clips} each"


def class_rows(scores: ScoreFile, names: list[str]) -> list[ClassRow]:
    """Return a row for each class that has samples, in the order of the classes."""
    matrix = confusion(scores.scores, scores.labels)
    counts = matrix.sum(dim=1).tolist()
    return [
        ClassRow(number, name, counts[number], recall, _taken_for(matrix, number, names))
        for number, (name, recall) in enumerate(zip(names, recalls(matrix).tolist(), strict=True))
        if counts[number]
    ]


def _taken_for(matrix: Tensor, number: int, names: list[str]) -> str:
    others = matrix[number].clone()
    others[number] = 0
    other = int(others.argmax())
    return f"{names[other]} ({int(others[other])})" if others[other] else ""


def _confusion(scores: ScoreFile | None, names: list[str]) -> Markup | None:
    if scores is None:
        return None
    matrix = confusion(scores.scores, scores.labels)
    return as_svg(confusion_figure(matrix, names), f"Confusion matrix of {len(names)} classes")


def _topology(run: RunData, names: list[str], ranked: list[ClassRow]) -> Markup | None:
    """Draw the topology of the two best and the two worst classes."""
    if run.topology is None or not ranked or len(run.topology) != len(names):
        return None
    known = [row.number for row in ranked if torch.isfinite(run.topology[row.number]).all()]
    chosen = known if len(known) <= 4 else [*known[:2], *known[-2:]]
    graph = GraphConfig.model_validate(run.setting("model", "backbone", "graph_cfg") or {})
    return topology_figure(run.topology, chosen, names, graph.skeleton) if chosen else None


def flat(config: dict[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    """Return dotted keys and their values."""
    rows: list[tuple[str, str]] = []
    for key, value in config.items():
        if isinstance(value, dict):
            rows += flat(value, f"{prefix}{key}.")
        else:
            rows.append((f"{prefix}{key}", "" if value is None else str(value)))
    return rows
