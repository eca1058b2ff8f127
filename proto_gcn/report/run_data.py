"""This module reads a run folder for the report.

Missing or damaged files are left out, so that a broken run has a report too.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from torch import Tensor

from proto_gcn.engine.run_folder import RunFolder
from proto_gcn.errors import DataError
from proto_gcn.evaluation import score_file
from proto_gcn.evaluation.score_file import ScoreFile


@dataclass
class Machine:
    """Telemetry over time.

    `hours` counts from the first sample; each quantity has a curve, with NaN where it is unknown.
    """

    hours: list[float] = field(default_factory=list)
    curves: dict[str, list[float]] = field(default_factory=dict)

    def add(self, hours: float, values: dict[str, float | None]) -> None:
        """Add a sample; a quantity that appears for the first time was unknown before."""
        for name in values.keys() - self.curves.keys():
            self.curves[name] = [float("nan")] * len(self.hours)
        self.hours.append(hours)
        for name, curve in self.curves.items():
            value = values.get(name)
            curve.append(float("nan") if value is None else value)


@dataclass
class RunData:
    """The content of a run folder.

    `scores` and `topology` [L, V, V] are those of the best checkpoint on the validation split.
    """

    name: str
    config: dict[str, Any] = field(default_factory=dict)
    starts: list[dict[str, Any]] = field(default_factory=list)
    epochs: list[dict[str, Any]] = field(default_factory=list)
    machine: Machine = field(default_factory=Machine)
    result: dict[str, Any] | None = None
    scores: ScoreFile | None = None
    topology: Tensor | None = None
    last_lines: list[str] = field(default_factory=list)

    def setting(self, *keys: str) -> Any:
        """Return a value of the config; None if it, or a mapping that leads to it, is absent."""
        found: Any = self.config
        for key in keys:
            found = found.get(key) if isinstance(found, dict) else None
        return found


def read_run(path: Path) -> RunData:
    """Read a run folder; raises DataError if it has no file of a run."""
    folder = RunFolder(path)
    check_is_run(folder)
    data = RunData(path.resolve().name)
    data.config = _mapping(folder.config)
    data.result = _mapping(folder.result) or None
    _read_metrics(folder.metrics, data)
    data.scores = _scores(folder)
    data.topology = _topology(folder)
    data.last_lines = _text(folder.log).splitlines()[-12:]
    return data


def check_is_run(folder: RunFolder) -> None:
    """Raise DataError if the folder has no file of a run."""
    if not any(path.is_file() for path in (folder.config, folder.metrics, folder.log)):
        missing = "it has no config.yaml, metrics.jsonl or train.log"
        raise DataError(
            f"{folder.path} is not a run folder: {missing}; name a folder WORK_DIR/runs/JOB_ID"
        )


def scores_path(folder: RunFolder, kind: str) -> Path:
    """Return the file of a run's scores, of the kind `val` or `test` (more clips)."""
    return folder.scores / f"{kind}.npz"


def topology_path(folder: RunFolder) -> Path:
    return folder.scores / "topology.npy"


def _read_metrics(path: Path, data: RunData) -> None:
    epochs: dict[int, dict[str, Any]] = {}
    began: datetime | None = None
    for entry in _entries(path):
        if entry["kind"] == "start":
            data.starts.append(entry)
        elif entry["kind"] == "epoch":
            epochs[entry["epoch"]] = entry  # the last attempt at an epoch counts
        elif entry["kind"] == "telemetry":
            at = datetime.fromisoformat(entry["at"])
            began = began or at
            data.machine.add((at - began).total_seconds() / 3600, _quantities(entry))
    data.epochs = [epochs[number] for number in sorted(epochs)]


def _entries(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the complete lines; a killed process may have left an incomplete one."""
    if not path.is_file():
        return
    with path.open(encoding="utf-8", errors="replace") as file:
        for line in file:
            try:
                entry = json.loads(line)
            except ValueError:
                continue
            if isinstance(entry, dict) and "kind" in entry and "at" in entry:
                yield entry


def _quantities(entry: dict[str, Any]) -> dict[str, float | None]:
    found = {"CPU %": entry.get("cpu_percent"), "memory GB": _gb(entry.get("memory_used_mb"))}
    for gpu in entry.get("gpus") or []:
        found[f"GPU {gpu['index']} %"] = gpu.get("utilization_percent")
        found[f"GPU {gpu['index']} GB"] = _gb(gpu.get("memory_used_mb"))
        found[f"GPU {gpu['index']} W"] = gpu.get("power_w")
    return found


def _gb(mb: float | None) -> float | None:
    return None if mb is None else mb / 1024


def _mapping(path: Path) -> dict[str, Any]:
    """Read a mapping from a YAML or JSON file, which YAML reads too."""
    try:
        content = yaml.safe_load(_text(path))
    except (yaml.YAMLError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def _scores(folder: RunFolder) -> ScoreFile | None:
    for path in (scores_path(folder, "test"), scores_path(folder, "val")):
        try:
            file = score_file.read(path)
        except DataError:
            continue
        if file.is_labelled:
            return file
    return None


def _topology(folder: RunFolder) -> Tensor | None:
    try:
        return torch.from_numpy(np.load(topology_path(folder), allow_pickle=False))
    except (OSError, ValueError, EOFError):
        return None
