"""The keys of a config's section `data`."""

from typing import Annotated

from pydantic import Field

from proto_gcn.config.graph import GraphConfig
from proto_gcn.config.section import Count, Section, Share
from proto_gcn.skeleton import NTU

FLAT, SOLID = (
    ("kpfiles", "valid_ratio", "mean_scores"),
    ("rotate", "mirror_flip", "float32"),
)  # 2-D, 3-D alone


class DataConfig(Section):
    """The data file, what is taken from it, and how it is batched."""

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
    # Each mends something that the published code does otherwise.
    mirror_flip: bool = False
    float32: bool = False
    fresh_draws: bool = False
    mean_scores: bool = False
    videos_per_gpu: Count = 16
    workers_per_gpu: Annotated[int, Field(ge=0, le=64)] = 4

    def set_but_useless(self, graph: GraphConfig) -> dict[str, str]:
        """The keys that ask for something which data of that layout do not have, each with what says so."""
        skeleton, layout = graph.skeleton, f"layout is {graph.layout}"
        kind = f"dimensions is {skeleton.dimensions}" if graph.layout == "custom" else layout
        useless = dict.fromkeys(SOLID if skeleton.dimensions == 2 else FLAT, kind)
        if skeleton is not NTU:
            useless |= {
                "align_spine": layout,
                "part_drop": layout,
            }  # by the numbers of NTU's joints
        if not skeleton.left_right:
            useless |= {"flip": "left_right is left out"}
        return {key: where for key, where in useless.items() if getattr(self, key)}
