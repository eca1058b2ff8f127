"""`predict`: CSV and scores of samples that may have no labels."""

import csv
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch

from proto_gcn.__main__ import main
from proto_gcn.commands.predict import as_csv
from proto_gcn.config.train import TrainConfig
from proto_gcn.data.synthetic import make_dataset
from proto_gcn.engine.checkpoints import checkpoint
from proto_gcn.engine.checkpoints.checkpoint import Progress
from proto_gcn.engine.learner import Learner
from proto_gcn.evaluation import score_file
from proto_gcn.evaluation.score_file import About, ScoreFile


def test_the_most_likely_classes_are_in_order() -> None:
    file = ScoreFile(
        torch.tensor([[0.25, 0.5, 0.25]]),
        torch.tensor([-1]),
        ["S1"],
        About("j", None, 10, "c", "d"),
    )
    assert as_csv(file, ["a", 'b, "c"', "d"], 2).splitlines() == [
        "sample,class_1,name_1,score_1,class_2,name_2,score_2",
        'S1,1,"b, ""c""",0.500000,0,a,0.250000',
    ]


def test_asking_for_more_classes_than_exist_lists_all() -> None:
    file = ScoreFile(torch.rand(1, 3), torch.tensor([0]), ["S1"], About("j", None, 1, "c", "d"))
    assert len(as_csv(file, ["a", "b", "c"], 5).splitlines()[0].split(",")) == 1 + 3 * 3


def test_a_pickle_without_labels_is_predicted(
    tmp_path: Path, raw_config: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    config = TrainConfig.model_validate(raw_config)
    learner = Learner(config, torch.device("cpu"))
    checkpoint.write(tmp_path / "x.pth", checkpoint.encode(learner, Progress(), config))
    content = make_dataset(0, 4, 3, 4)
    for sample in content["annotations"]:
        del sample["label"]
    (tmp_path / "new.pkl").write_bytes(pickle.dumps(content))
    where = {"checkpoint": "x.pth", "data": "new.pkl", "out": "p.csv", "scores": "p.npz"}
    options = [word for name, path in where.items() for word in (f"--{name}", str(tmp_path / path))]
    assert main(["predict", *options, "--clips", "2", "--top", "2", "--device", "cpu"]) == 0
    assert capsys.readouterr().out == f"wrote {tmp_path / 'p.csv'}: 7 samples\n"
    with (tmp_path / "p.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    scores = score_file.read(tmp_path / "p.npz")
    assert [row["sample"] for row in rows] == [
        sample["frame_dir"] for sample in content["annotations"]
    ]
    assert [int(row["class_1"]) for row in rows] == scores.scores.argmax(dim=1).tolist()
    assert all(float(row["score_1"]) >= float(row["score_2"]) for row in rows)
    assert not scores.is_labelled
