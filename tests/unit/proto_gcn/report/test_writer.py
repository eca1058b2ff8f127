"""A training ends with scores and report.html, and succeeds even if these fail."""

import json
import pickle
from pathlib import Path
from typing import Any

import pytest
import yaml

from proto_gcn.data.synthetic import make_dataset
from proto_gcn.engine.run import Process, run
from proto_gcn.engine.run_folder import RunFolder
from proto_gcn.engine.stopping import Stop
from proto_gcn.evaluation import score_file
from proto_gcn.evaluation.metrics import top_k
from proto_gcn.report import writer


class Training:
    """A short training in this process."""

    def __init__(self, root: Path, raw: dict[str, Any]) -> None:
        raw["data"]["ann_file"] = str(root / "small.pkl")
        (root / "small.pkl").write_bytes(pickle.dumps(make_dataset(0, 4, 8, 8)))
        self.raw = raw
        self.root = root
        self.stop = Stop()
        self.folder = RunFolder(root / "runs" / "r1")

    def run(self) -> None:
        (self.root / "c.yaml").write_text(yaml.safe_dump(self.raw))
        where = {
            "CONFIG_FILE": str(self.root / "c.yaml"),
            "WORK_DIR": str(self.root),
            "JOB_ID": "r1",
        }
        run(where, Process(stop=self.stop, write_report=writer.write_final_report))

    @property
    def result(self) -> dict[str, Any]:
        content: dict[str, Any] = json.loads(self.folder.result.read_text())
        return content


@pytest.fixture
def training(tmp_path: Path, raw_config: dict[str, Any]) -> Training:
    return Training(tmp_path, raw_config)


def test_a_training_ends_with_its_report(training: Training) -> None:
    training.run()
    page = training.folder.report.read_text()
    assert "Learned topology" in page
    assert ">finished<" in page
    assert (
        f"wrote the report {training.folder.report}" in training.folder.log.read_text().splitlines()
    )
    scores = score_file.read(training.folder.scores / "val.npz")
    assert top_k(scores.scores, scores.labels, 1) == pytest.approx(training.result["best_top1"])
    assert (scores.about.split, scores.about.clips, len(scores.names)) == ("xsub_val", 1, 8)


def test_the_scores_of_the_final_test_are_kept_and_shown(training: Training) -> None:
    training.raw["data"]["test_clips"] = 3
    training.run()
    scores = score_file.read(training.folder.scores / "test.npz")
    assert scores.about.clips == 3
    assert top_k(scores.scores, scores.labels, 1) == pytest.approx(training.result["test_top1"])
    assert "8 samples of xsub_val, 3 clips each" in training.folder.report.read_text()


def test_a_report_that_fails_is_logged_and_the_training_succeeds(
    training: Training, monkeypatch: pytest.MonkeyPatch
) -> None:
    def out_of_memory(*_: Any) -> None:
        raise MemoryError("no room\nfor a page")

    monkeypatch.setattr(writer, "render", out_of_memory)
    training.run()
    log = training.folder.log.read_text()
    remedy = f"python -m proto_gcn report {training.folder.path} --evaluate"
    assert (
        f"could not write the report: no room for a page; write it with {remedy}"
        in log.splitlines()
    )
    assert "MemoryError" in log
    assert training.result["status"] == "succeeded"
    assert not training.folder.report.exists()


def test_a_stop_in_the_middle_of_the_report_does_not_undo_the_training(
    training: Training, monkeypatch: pytest.MonkeyPatch
) -> None:
    scored = writer.score_run

    def stopped(*arguments: Any, **options: Any) -> None:
        training.stop.requested = True
        scored(*arguments, **options)

    monkeypatch.setattr(writer, "score_run", stopped)
    training.run()
    assert training.result["status"] == "succeeded"
    assert "could not write the report: stopped by SIGTERM" in training.folder.log.read_text()
