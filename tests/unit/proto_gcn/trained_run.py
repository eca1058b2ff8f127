"""This module makes a data file and a run folder with a checkpoint, for the commands."""

import pickle
from pathlib import Path
from typing import Any

import torch
import yaml

from proto_gcn.config.train import TrainConfig
from proto_gcn.data.synthetic import make_dataset
from proto_gcn.engine.checkpoints import checkpoint
from proto_gcn.engine.checkpoints.checkpoint import Progress
from proto_gcn.engine.learner import Learner


class TrainedRun:
    """A data file, a run folder with a checkpoint, and the config of both."""

    def __init__(self, root: Path, raw: dict[str, Any]) -> None:
        self.data = root / "small.pkl"
        self.run = root / "runs" / "r1"
        self.config_file = root / "c.yaml"
        self.best = self.run / "checkpoints" / "best.pth"
        self.data.write_bytes(pickle.dumps(make_dataset(0, 4, 8, 8)))
        raw["data"]["ann_file"] = str(self.data)
        self.config = TrainConfig.model_validate(raw)
        self.config_file.write_text(yaml.safe_dump(raw))
        self.best.parent.mkdir(parents=True)
        (self.run / "config.yaml").write_text(self.config_file.read_text())
        learner = Learner(self.config, torch.device("cpu"))
        checkpoint.write(self.best, checkpoint.encode(learner, Progress(epoch=1), self.config))
