"""Results written into a given tensor."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor


def write_into(
    target: Tensor, operation: Callable[..., Tensor], *args: Any, **options: Any
) -> None:
    """Do target = operation(...) without a tensor in between.

    torch.compile does not support such views and fuses anyway, so it gets a copy.
    """
    if torch.compiler.is_compiling():
        target.copy_(operation(*args, **options))
    else:
        operation(*args, **options, out=target)
