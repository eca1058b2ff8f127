"""This module defines the keys of the config section `data`."""

from typing import Annotated

from pydantic import Field

from proto_gcn.config.graph import GraphConfig
from proto_gcn.config.section import Count, Section, Share
from proto_gcn.skeleton import NTU

ONLY_2D = "kpfiles", "valid_ratio", "mean_scores"
ONLY_3D = "rotate", "mirror_flip", "float32"


class DataConfig(Section):
    """The section names the data file, the augmentation and the size of the batches."""

    ann_file: Annotated[str, Field(min_length=1)]
    kpfiles: str | None = None
    train_split: str = "xsub_train"
    val_split: str = "xsub_val"
    clip_len: Annotated[int, Field(ge=4)] = 100
    num_person: Count = 2
    val_clips: Count = 1
    test_clips: Count | None = None
    test_seed: Annotated[int, Field(ge=0, lt=2**32)] = 255
    align_spine: bool = False
    rotate: Annotated[float, Field(ge=0, le=3.2)] = 0.2
    flip: Share = 0.0
    part_drop: Share = 0.0
    valid_ratio: Share = 0.0
    box_thr: Share = 0.5
    # Each of the next four corrects a behaviour of the published code (docs/trainer-data.md).
    mirror_flip: bool = False
    float32: bool = False
    fresh_draws: bool = False
    mean_scores: bool = False
    videos_per_gpu: Count = 16
    workers_per_gpu: Annotated[int, Field(ge=0, le=64)] = 4

    def set_but_useless(self, graph: GraphConfig) -> dict[str, str]:
        """Return the keys that are set but have no effect on that layout, each with the cause."""
        skeleton, layout = graph.skeleton, f"layout is {graph.layout}"
        kind = f"dimensions is {skeleton.dimensions}" if graph.layout == "custom" else layout
        useless = dict.fromkeys(ONLY_3D if skeleton.dimensions == 2 else ONLY_2D, kind)
        if skeleton is not NTU:  # both use NTU's joint numbers
            useless |= {"align_spine": layout, "part_drop": layout}
        if not skeleton.left_right:
            useless |= {"flip": "left_right is left out"}
        return {key: cause for key, cause in useless.items() if getattr(self, key)}
