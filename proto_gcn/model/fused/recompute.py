"""What the backward pass computes once more instead of the forward pass keeping it."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from functools import partial
from typing import Any, Literal

import torch
from torch import Tensor

Recompute = Literal["none", "activations", "blocks"]
_lean = ContextVar("_lean", default=False)


@contextmanager
def lean(on: bool) -> Iterator[None]:
    """Whether outputs of batch norm and ReLU are computed once more in the backward pass (of this forward pass)."""
    token = _lean.set(on)
    try:
        yield
    finally:
        _lean.reset(token)


def is_lean() -> bool:
    """Not where torch.compile traces, which decides by itself what it computes once more."""
    return not torch.compiler.is_compiling() and _lean.get() and torch.is_grad_enabled()


class Recipe:
    """A tensor that is made when it is first taken, and let go with its ingredients when the last taker has it."""

    def __init__(self, make: Callable[[], Tensor]) -> None:
        self._make: Callable[[], Tensor] | None = make
        self._made: Tensor | None = None
        self._takers = 0

    def promise(self) -> "Recipe":
        """One more will take it."""
        self._takers += 1
        return self

    @torch.no_grad()
    def take(self) -> Tensor:
        """The tensor; raises RuntimeError for a second backward pass, whose ingredients are gone."""
        if self._make is None:
            raise RuntimeError(
                'a second backward pass needs what the first one let go; use recompute "none"'
            )
        made = self._make() if self._made is None else self._made
        self._takers -= 1
        self._made, self._make = (made, self._make) if self._takers else (None, None)
        return made


@contextmanager
def not_kept(tensor: Tensor, recipe: Recipe) -> Iterator[None]:
    """What operations in here would keep of `tensor` (contiguous), or of views of it, comes from the recipe."""
    storage = tensor.untyped_storage().data_ptr()

    def pack(kept: Tensor) -> Any:
        if kept.untyped_storage().data_ptr() != storage:
            return kept
        return recipe.promise(), kept.size(), kept.stride(), kept.storage_offset()

    def unpack(packed: Any) -> Tensor:
        return packed if isinstance(packed, Tensor) else packed[0].take().as_strided(*packed[1:])

    with torch.autograd.graph.saved_tensors_hooks(pack, unpack):
        yield


def chained(
    tensor: Tensor, recipe: Recipe | None, consumers: Sequence[Callable[[Tensor], Any]]
) -> Any:
    """The tensor through the consumers in turn; where it has a recipe, none of them keeps its input."""
    for i, consumer in enumerate(consumers):
        if recipe is None:
            tensor = consumer(tensor)
            continue
        with not_kept(tensor, recipe):
            tensor = consumer(tensor)
        if i < len(consumers) - 1:
            recipe = Recipe(partial(_remade, consumer, recipe.promise()))
    return tensor


def _remade(consumer: Callable[[Tensor], Tensor], recipe: Recipe) -> Tensor:
    return consumer(recipe.take())
