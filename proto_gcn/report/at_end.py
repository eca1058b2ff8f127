"""The last thing a training does: scores of its best checkpoint, then the page; no failure here is the training's."""

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
from proto_gcn.evaluation.scoring import ClassMeans, go_on, score
from proto_gcn.report.page import render
from proto_gcn.report.run_data import RunData, read_run, scores_path, topology_path


def at_end(result: dict[str, Any], trainer: Trainer) -> None:
    """Scores and page of a training that has succeeded; stops, as trainings do, on SIGTERM; raises whatever fails."""
    folder, device = trainer.folder, trainer.learner.device
    if trainer.test_scores is not None:
        score_file.write(scores_path(folder, "test"), trainer.test_scores)
    score_run(
        folder, of_run(folder.path, device), trainer.splits.val, between=trainer.leave_if_asked
    )
    write_report(folder.path, folder.report, result=result)


def score_run(
    folder: RunFolder,
    trained: Trained,
    samples: SkeletonDataset,
    between: Callable[[], None] = go_on,
) -> None:
    """Writes the scores of a run's network on its validation samples, and the topology of the classes."""
    config = trained.config
    topology = ClassMeans(config.model.cls_head.num_classes)
    scores, labels = score(
        trained.model, make_loader(samples, config.data, seed=None), between, topology
    )
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
    """The page of a run folder, finished or not; `result` where result.json is still to come; raises DataError."""
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
    """What the page does not show, and what would change that."""
    said = []
    if not run.epochs:
        said.append("No epoch has ended yet: there are no curves.")
    if run.scores is None:
        said.append(
            "No scores yet, so no confusion matrix, classes or topology: they come at the end of the training or with "
            "`python -m proto_gcn report FOLDER --evaluate`."
        )
    return said
