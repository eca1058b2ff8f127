"""This module writes run folders like those of trainings, without a training."""

import json
import math
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml

from proto_gcn.config.train import GraphConfig
from proto_gcn.engine.run_folder import RunFolder
from proto_gcn.evaluation import score_file
from proto_gcn.evaluation.score_file import About, ScoreFile
from proto_gcn.report.run_data import scores_path, topology_path

BEGAN = datetime(2026, 1, 1, tzinfo=UTC)


def make_run_folder(
    path: Path,
    classes: int,
    epochs: int,
    samples: int,
    hours: float = 1,
    graph: dict[str, Any] | None = None,
) -> Path:
    """Write a run folder like that of a training on one GPU, with plausible numbers."""
    folder = RunFolder(path)
    folder.create()
    graph, head = graph or {"layout": "nturgb+d"}, {"num_classes": classes}
    config = {
        "modality": "b",
        "total_epochs": epochs,
        "data": {"ann_file": "/data/x.pkl", "val_split": "xsub_val"},
    }
    config["model"] = {"backbone": {"graph_cfg": graph}, "cls_head": head}
    folder.config.write_text(yaml.safe_dump(config))
    folder.log.write_text("first line\nlast line <script>\n")
    folder.metrics.write_text("".join(json.dumps(line) + "\n" for line in lines(epochs, hours)))
    folder.result.write_text(
        json.dumps({"status": "succeeded", "duration_s": 60.0, "best_top1": 88.5})
    )
    write_scores(folder, classes, samples, GraphConfig.model_validate(graph).skeleton.joints)
    return path


def lines(epochs: int, hours: float) -> list[dict[str, Any]]:
    """Return the lines of metrics.jsonl: a start, telemetry every 5 s, epochs."""
    found: list[dict[str, Any]] = [
        {"kind": "start", "at": at(0), "device": "a GPU", "parameters": 4344860, "seed": 0}
    ]
    for index in range(int(hours * 720)):
        gpu = {
            "index": 0,
            "utilization_percent": 90 + index % 9,
            "memory_used_mb": 9000,
            "power_w": 250.0 + index % 50,
        }
        sample = {
            "gpus": [gpu],
            "cpu_percent": 40.0 + index % 7,
            "memory_used_mb": 20000,
            "memory_total_mb": 64000,
        }
        found.append({"kind": "telemetry", "at": at(index * 5), **sample})
    for epoch in range(1, epochs + 1):
        top1 = 90 * (1 - math.exp(-epoch / 20))
        numbers = {
            "loss": 4 * math.exp(-epoch / 40),
            "top1": top1,
            "top5": min(99.0, top1 + 9),
            "best_top1": top1,
        }
        found.append(
            {
                "kind": "epoch",
                "at": at(epoch),
                "epoch": epoch,
                "lr": 0.025 / epoch,
                "samples_per_s": 200.0,
            }
            | numbers
        )
    return found


def at(seconds: float) -> str:
    return (BEGAN + timedelta(seconds=seconds)).isoformat().replace("+00:00", "Z")


def write_scores(folder: RunFolder, classes: int, samples: int, joints: int) -> None:
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(samples) % classes
    scores = torch.rand(samples, classes, generator=generator) + 0.8 * torch.nn.functional.one_hot(
        labels, classes
    )
    about = About("b", "xsub_val", 10, "/data/r/checkpoints/best.pth", "/data/x.pkl")
    score_file.write(
        scores_path(folder, "test"),
        ScoreFile(scores, labels, [f"s{i}" for i in range(samples)], about),
    )
    topology = 0.04 + 0.02 * torch.randn(classes, joints, joints, generator=generator)
    np.save(topology_path(folder), topology.numpy())
