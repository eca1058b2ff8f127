"""The page of a run: figures, tables and a few sentences, put into page.html.j2."""

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import torch
from jinja2 import Environment, PackageLoader, StrictUndefined
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

LISTED = 10  # classes in the lists of the best and of the worst


@dataclass(frozen=True)
class ClassRow:
    """How a class fares; `taken_for` is the class that its samples are most often mistaken for, with their number."""

    number: int
    name: str
    samples: int
    recall: float
    taken_for: str


def render(run: RunData, names: list[str], notes: list[str]) -> str:
    """The HTML of the page; notes say what could not be shown and why."""
    environment = Environment(
        loader=PackageLoader("proto_gcn.report", "."), autoescape=True, undefined=StrictUndefined
    )
    environment.trim_blocks = environment.lstrip_blocks = True
    rows = class_rows(run.scores, names) if run.scores else []
    ranked = sorted(rows, key=lambda row: (-row.recall, row.number))
    shown = LISTED if len(ranked) > 2 * LISTED else len(ranked) // 2
    return environment.get_template("page.html.j2").render(
        run=run,
        title=title(run),
        figures=figures(run),
        facts=facts(run),
        notes=notes,
        training=training_curves(run),
        machine=machine_curves(run.machine),
        confusion=_confusion(run.scores, names),
        topology=_topology(run, names, ranked),
        best=ranked[:shown],
        worst=ranked[::-1][:shown],
        classes=rows,
        settings=list(flat(run.config)),
        scored=scored_words(run.scores),
    )


def title(run: RunData) -> str:
    """In a line: what was trained on what."""
    data = Path(str(run.setting("data", "ann_file") or "")).stem
    stream = run.setting("modality")
    words = [
        data,
        str(run.setting("data", "val_split") or ""),
        f"stream {stream}" if stream else "",
    ]
    return " · ".join(word for word in words if word)


def figures(run: RunData) -> list[tuple[str, str]]:
    """The few numbers that stand large at the top."""
    shown = []
    if run.scores:
        shown = [
            (_METRICS[k], f"{v:.2f} %")
            for k, v in measure_all(run.scores.scores, run.scores.labels).items()
        ]
    elif run.epochs and run.epochs[-1].get("best_top1") is not None:
        shown = [("best top-1", f"{run.epochs[-1]['best_top1']:.2f} %")]
    done, planned = (
        (run.epochs[-1]["epoch"] if run.epochs else 0),
        run.config.get("total_epochs", "?"),
    )
    took = run.result["duration_s"] if run.result and "duration_s" in run.result else None
    shown.append(("epochs", f"{done} of {planned}"))
    return [*shown, ("duration", duration(took))] if took is not None else shown


_METRICS = {"top1": "top-1", "top5": "top-5", "mean_class": "mean class"}


def facts(run: RunData) -> list[tuple[str, str]]:
    """The numbers of the run that are in no figure."""
    start = run.starts[-1] if run.starts else {}
    keys = {"device": "device", "parameters": "parameters", "train_samples": "training samples"}
    keys |= {
        "val_samples": "validation samples",
        "steps": "steps in an epoch",
        "seed": "seed",
        "config": "config",
    }
    found = [
        (
            word,
            f"{start[key]:,}" if key != "seed" and isinstance(start[key], int) else str(start[key]),
        )
        for key, word in keys.items()
        if key in start
    ]
    if run.starts:
        found += [("started", when(run.starts[0]["at"])), ("processes", str(len(run.starts)))]
    speeds = sorted(entry["samples_per_s"] for entry in run.epochs if "samples_per_s" in entry)
    if speeds:
        found.append(("samples/s (median)", f"{speeds[len(speeds) // 2]:g}"))
    result = run.result or {}
    return found + [
        (key.replace("_", " "), _number(value))
        for key, value in result.items()
        if key not in ("status", "duration_s", "job_id")
    ]


def when(at: str) -> str:
    return datetime.fromisoformat(at).strftime("%Y-%m-%d %H:%M UTC")


def _number(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def scored_words(scores: ScoreFile | None) -> str:
    """What the confusion matrix and the classes' numbers are about."""
    if scores is None:
        return ""
    clips = "1 clip" if scores.about.clips == 1 else f"{scores.about.clips} clips"
    name = Path(scores.about.checkpoint).name
    return f"{name} on {len(scores.names):,} samples of {scores.about.split}, {clips} each"


def class_rows(scores: ScoreFile, names: list[str]) -> list[ClassRow]:
    """A row for each class that has samples, in the order of the classes."""
    matrix = confusion(scores.scores, scores.labels)
    share = recalls(matrix).tolist()
    return [
        ClassRow(
            number,
            names[number],
            int(matrix[number].sum()),
            share[number],
            _taken_for(matrix, number, names),
        )
        for number in range(len(names))
        if matrix[number].sum()
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
    """Of the two best and the two worst classes."""
    if run.topology is None or not ranked or len(run.topology) != len(names):
        return None
    known = [row.number for row in ranked if torch.isfinite(run.topology[row.number]).all()]
    chosen = known if len(known) <= 4 else [*known[:2], *known[-2:]]
    graph = GraphConfig.model_validate(run.setting("model", "backbone", "graph_cfg") or {})
    return topology_figure(run.topology, chosen, names, graph.skeleton) if chosen else None


def flat(config: dict[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    """Dotted keys and their values."""
    rows: list[tuple[str, str]] = []
    for key, value in config.items():
        if isinstance(value, dict):
            rows += flat(value, f"{prefix}{key}.")
        else:
            rows.append((f"{prefix}{key}", "" if value is None else str(value)))
    return rows
