"""This module scores the best checkpoint of a run and writes its report.

It is the last step of a training. The engine catches every failure here, so that the training
still succeeds.
"""

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from proto_gcn.atomic_file import write_atomically
from proto_gcn.data.dataset import SkeletonDataset, make_loader
from proto_gcn.engine.run_folder import RunFolder
from proto_gcn.engine.trained import Trained, of_run
from proto_gcn.engine.trainer import Trainer
from proto_gcn.evaluation import score_file
from proto_gcn.evaluation.class_names import read_class_names
from proto_gcn.evaluation.scoring import ClassMeans, do_nothing, score
from proto_gcn.report.page import render
from proto_gcn.report.run_data import RunData, read_run, scores_path, topology_path


def write_final_report(result: dict[str, Any], trainer: Trainer) -> None:
    """Score and report a training that has succeeded; SIGTERM stops it; raises any error."""
    folder = trainer.folder
    if trainer.test_scores is not None:
        score_file.write(scores_path(folder, "test"), trainer.test_scores)
    trained = of_run(folder.path, trainer.learner.device)
    score_run(folder, trained, trainer.splits.val, between=trainer.leave_if_asked)
    write_report(folder.path, folder.report, result=result)


def score_run(
    folder: RunFolder,
    trained: Trained,
    samples: SkeletonDataset,
    between: Callable[[], None] = do_nothing,
) -> None:
    """Write the validation scores of a run, and the mean topology of each class."""
    config = trained.config
    topology = ClassMeans(config.model.cls_head.num_classes)
    loader = make_loader(samples, config.data, seed=None)
    scores, labels = score(trained.model, loader, between, topology)
    about = config, trained.checkpoint, config.data.val_clips
    file = score_file.of_validation(*about, scores, labels, samples.samples.names)
    score_file.write(scores_path(folder, "val"), file)
    write_atomically(topology_path(folder), _encoded(topology.means()))


def _encoded(topology: Tensor) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, topology.numpy().astype(np.float32), allow_pickle=False)
    return buffer.getvalue()


def write_report(
    folder: Path, out: Path, class_names: Path | None = None, result: dict[str, Any] | None = None
) -> None:
    """Write the page of a run folder, finished or not; raises DataError.

    `result` replaces result.json while that does not exist yet.
    """
    run = read_run(folder)
    run.result = run.result or result
    names = read_class_names(class_names, _classes(run))
    out.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(out, render(run, names, notes(run)).encode())


def _classes(run: RunData) -> int:
    if run.scores is not None:
        return int(run.scores.scores.shape[1])
    return int(run.setting("model", "cls_head", "num_classes") or 0)


def notes(run: RunData) -> list[str]:
    """Return sentences about what the page does not show yet, and why."""
    found = []
    if not run.epochs:
        found.append("No epoch has finished yet, so there are no curves.")
    if run.scores is None:
        found.append(
            "There are no scores yet, so the confusion matrix, the classes and the topology are"
            " missing. They are added at the end of the training or with"
            " `python -m proto_gcn report FOLDER --evaluate`."
        )
    return found
