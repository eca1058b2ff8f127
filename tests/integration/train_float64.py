"""Do what `train.py` does in float64, where rounding does not hide how two trainings differ."""

import os
import sys
from typing import Any

from proto_gcn.engine.processes.launch import command, launch, process_count

count = process_count(os.environ)
if count > 1:
    sys.exit(launch(command(), count))

from proto_gcn.data.dataset import Batch, EpochSample, SkeletonDataset  # noqa: E402
from proto_gcn.engine import learner, run  # noqa: E402
from proto_gcn.engine.network import build  # noqa: E402
from proto_gcn.model.head import ProtoGCN  # noqa: E402

load = SkeletonDataset.__getitems__


def doubled(self: SkeletonDataset, places: list[EpochSample]) -> Batch:
    clips, labels = load(self, places)
    return clips.double(), labels


def build_double(*arguments: Any) -> ProtoGCN:
    model = build(*arguments).double()
    model.memory = model.memory.double()
    return model


SkeletonDataset.__getitems__ = doubled  # type: ignore[method-assign]
learner.build = build_double
sys.exit(run.main())
