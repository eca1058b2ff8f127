"""What all sections of a config share: strictness, and the names of number types."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

Count = Annotated[int, Field(ge=1)]
Share = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0)]
NotNegative = Annotated[float, Field(ge=0)]
Layout = Literal["nturgb+d", "coco_new", "custom"]


class Section(BaseModel):
    """A mapping in the config file: unknown keys, silently converted types and numbers that are none are refused."""

    model_config = ConfigDict(
        extra="forbid", strict=True, frozen=True, allow_inf_nan=False, protected_namespaces=()
    )
