"""This module holds what all sections of a config share: strict types, and names for numbers."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

Count = Annotated[int, Field(ge=1)]
Share = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0)]
NotNegative = Annotated[float, Field(ge=0)]
Layout = Literal["nturgb+d", "coco_new", "custom"]


class Section(BaseModel):
    """A section is a mapping in the config file.

    It refuses unknown keys, values of another type, NaN and infinity.
    """

    model_config = ConfigDict(
        extra="forbid", strict=True, frozen=True, allow_inf_nan=False, protected_namespaces=()
    )
