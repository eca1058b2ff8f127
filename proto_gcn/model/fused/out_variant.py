"""Results written where they belong."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor


def into(target: Tensor, operation: Callable[..., Tensor], *args: Any, **options: Any) -> None:
    """target = operation(...) without a tensor between them; torch.compile, which fuses anyway, knows no such views."""
    if torch.compiler.is_compiling():
        target.copy_(operation(*args, **options))
    else:
        operation(*args, **options, out=target)
