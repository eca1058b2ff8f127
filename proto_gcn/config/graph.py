"""This module defines the keys of the config section `model.backbone.graph_cfg`.

They name the joint layout and the initial value of the learned adjacency.
"""

from typing import Annotated, Literal, Self

from pydantic import ConfigDict, Field, model_validator
from pydantic.config import JsonDict

from proto_gcn.config.section import Count, Layout, NotNegative, Section
from proto_gcn.skeleton import SKELETONS, Skeleton, mirror_error, tree_error

Joint = Annotated[int, Field(ge=0)]
CUSTOM_KEYS = ("parents", "left_right", "dimensions")
_ONLY_CUSTOM: JsonDict = {
    "if": {"required": ["layout"], "properties": {"layout": {"const": "custom"}}},
    "then": {"required": ["parents"], "properties": {"parents": {"type": "array"}}},
    "else": {"properties": {key: {"type": "null"} for key in CUSTOM_KEYS}},
}


class GraphConfig(Section):
    """The learned adjacency A [num_filter, V, V] of every block is initialised from this."""

    model_config = ConfigDict(json_schema_extra=_ONLY_CUSTOM)

    layout: Layout = "nturgb+d"
    # The next three belong to the layout `custom`: the neighbour of each joint towards the centre
    # (the centre names itself), its mirror image, and the number of coordinates.
    parents: Annotated[list[Joint], Field(min_length=2)] | None = None
    left_right: list[Joint] | None = None
    dimensions: Literal[2, 3] | None = None
    mode: Literal["random", "spatial"] = "random"
    num_filter: Count = 8
    init_off: float = 0.04
    init_std: NotNegative = 0.02

    @property
    def skeleton(self) -> Skeleton:
        """Return the named layout, or the one that the config describes (3-D by default)."""
        if self.parents is None:
            return SKELETONS[self.layout]
        return Skeleton(tuple(self.parents), tuple(self.left_right or ()), self.dimensions or 3)

    @model_validator(mode="after")
    def _layout_is_complete(self) -> Self:
        if self.layout == "custom":
            self._check_custom()
            return self
        for key in CUSTOM_KEYS:
            if getattr(self, key) is not None:
                raise ValueError(
                    f"{key} must be left out when layout is {self.layout};"
                    " it belongs to the layout custom"
                )
        return self

    def _check_custom(self) -> None:
        if self.parents is None:
            raise ValueError(
                "parents must be set when layout is custom:"
                " the parent of every joint; the centre is its own parent"
            )
        wrong = tree_error(self.parents)
        if wrong is None and self.left_right:
            wrong = mirror_error(self.left_right, len(self.parents))
        if wrong:
            raise ValueError(wrong)

    @model_validator(mode="after")
    def _spatial_has_three_matrices(self) -> Self:
        if self.mode == "spatial" and self.num_filter != 3:
            raise ValueError("num_filter must be 3 when mode is spatial (self, inward, outward)")
        return self
