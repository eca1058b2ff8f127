"""The keys of a config's `model.backbone.graph_cfg`: the joint layout, and what the learnt adjacency starts from."""

from typing import Annotated, Literal, Self

from pydantic import ConfigDict, Field, model_validator
from pydantic.config import JsonDict

from proto_gcn.config.section import Count, Layout, NotNegative, Section
from proto_gcn.skeleton import SKELETONS, Skeleton, no_mirror, not_a_tree

Joint = Annotated[int, Field(ge=0)]
OWN = ("parents", "left_right", "dimensions")  # the keys of layout custom
_ONLY_CUSTOM: JsonDict = {
    "if": {"required": ["layout"], "properties": {"layout": {"const": "custom"}}},
    "then": {"required": ["parents"], "properties": {"parents": {"type": "array"}}},
    "else": {"properties": {key: {"type": "null"} for key in OWN}},
}


class GraphConfig(Section):
    """Where the learnt adjacency A [num_filter, V, V] of every block starts from."""

    model_config = ConfigDict(json_schema_extra=_ONLY_CUSTOM)

    layout: Layout = "nturgb+d"
    # Of layout custom: each joint's neighbour on the way to the centre (its own), its mirror image, values of a joint.
    parents: Annotated[list[Joint], Field(min_length=2)] | None = None
    left_right: list[Joint] | None = None
    dimensions: Literal[2, 3] | None = None
    mode: Literal["random", "spatial"] = "random"
    num_filter: Count = 8
    init_off: float = 0.04
    init_std: NotNegative = 0.02

    @property
    def skeleton(self) -> Skeleton:
        """The layout: a known one, or the config's own (3-D unless it says 2)."""
        if self.parents is None:
            return SKELETONS[self.layout]
        return Skeleton(tuple(self.parents), tuple(self.left_right or ()), self.dimensions or 3)

    @model_validator(mode="after")
    def _layout_is_whole(self) -> Self:
        if self.layout != "custom":
            for key in OWN:
                if getattr(self, key) is not None:
                    raise ValueError(
                        f"{key} must be left out where layout is {self.layout}; it belongs to custom"
                    )
        elif self.parents is None:
            raise ValueError(
                "parents must be set where layout is custom: the parent of every joint, the centre its own"
            )
        elif wrong := not_a_tree(self.parents) or (
            self.left_right and no_mirror(self.left_right, len(self.parents))
        ):
            raise ValueError(wrong)
        return self

    @model_validator(mode="after")
    def _spatial_has_three_matrices(self) -> Self:
        if self.mode == "spatial" and self.num_filter != 3:
            raise ValueError("num_filter must be 3 when mode is spatial (self, inward, outward)")
        return self
