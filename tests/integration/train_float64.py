"""What `train.py` does, in float64: by how much two trainings differ then is no rounding of float32."""

import os
import sys

from proto_gcn.engine.processes.launch import command, launch, processes

count = processes(os.environ)
if count > 1:
    sys.exit(launch(command(), count))

from proto_gcn.data.dataset import Batch, EpochSample, SkeletonDataset  # noqa: E402 - the launcher needs none of it
from proto_gcn.engine import learner, run  # noqa: E402
from proto_gcn.model.head import ProtoGCN  # noqa: E402

load = SkeletonDataset.__getitems__


def doubled(self: SkeletonDataset, places: list[EpochSample]) -> Batch:
    clips, labels = load(self, places)
    return clips.double(), labels


class DoubleProtoGCN(ProtoGCN):
    def __init__(self, *arguments: object) -> None:
        super().__init__(*arguments)  # type: ignore[arg-type]
        self.double()
        self.memory = self.memory.double()


SkeletonDataset.__getitems__ = doubled  # type: ignore[method-assign]
learner.ProtoGCN = DoubleProtoGCN  # type: ignore[misc]
run.report = lambda *_: None  # it has a network of its own, in float32
sys.exit(run.main())
