"""Compare two runs bit for bit; only clocks and places may differ."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

CLOCKS = {"at", "duration_s", "finished_at", "elapsed_s", "epoch_s", "eta_s", "samples_per_s"}
PLACES = {"job_id", "checkpoint", "log", "metrics"}  # in result.json
FREE = {"workers_per_gpu"}  # changes no number, so a run may resume with others


def assert_same_training(one: Path, other: Path) -> None:
    """Compare both checkpoints, the lines of all epochs and the result of two run folders."""
    assert differences(one, other) == []


def differences(one: Path, other: Path) -> list[str]:
    """Return the dotted names of all values that differ, or that only one run has."""
    ours, theirs = dict(_leaves(_training(one))), dict(_leaves(_training(other)))
    return [
        name
        for name in ours | theirs
        if name not in ours or name not in theirs or ours[name] != theirs[name]
    ]


def _training(folder: Path) -> dict[str, Any]:
    written = (folder / "metrics.jsonl").read_text().splitlines()
    # A full disk may leave half a line.
    lines = [json.loads(line) for line in written if line.endswith("}")]
    return {
        "latest": torch.load(folder / "checkpoints" / "latest.pth", weights_only=True),
        "best": torch.load(folder / "checkpoints" / "best.pth", weights_only=True),
        # Of an epoch that was trained again, the last line counts.
        "epochs": {line["epoch"]: line for line in lines if line["kind"] == "epoch"},
        "result": {
            k: v
            for k, v in json.loads((folder / "result.json").read_text()).items()
            if k not in PLACES
        },
    }


def _leaves(value: Any, name: str = "") -> Iterator[tuple[str, object]]:
    if isinstance(value, dict):
        for key in value.keys() - CLOCKS - FREE:
            yield from _leaves(value[key], f"{name}.{key}".lstrip("."))
    elif isinstance(value, list | tuple):
        for index, item in enumerate(value):
            yield from _leaves(item, f"{name}.{index}")
    else:
        yield name, _bits(value)


def _bits(value: Any) -> object:
    """Return something equal only for identical bits: not for 0.0 and -0.0, nor for 1 and 1.0."""
    if isinstance(value, torch.Tensor):
        return (
            value.dtype,
            value.shape,
            value.contiguous().flatten().view(torch.uint8).numpy().tobytes(),
        )
    return repr(value)
