"""This module computes tensors again in the backward pass instead of keeping them."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from functools import partial
from typing import Any, Literal

import torch
from torch import Tensor

Recompute = Literal["none", "activations", "blocks"]
_activations = ContextVar("_activations", default=False)


@contextmanager
def recomputing_activations(on: bool) -> Iterator[None]:
    """For forward passes in here, recompute outputs of batch norm and ReLU in the backward pass."""
    token = _activations.set(on)
    try:
        yield
    finally:
        _activations.reset(token)


def recomputes_activations() -> bool:
    """Return whether they are recomputed; torch.compile decides for itself what it recomputes."""
    return not torch.compiler.is_compiling() and _activations.get() and torch.is_grad_enabled()


class Recipe:
    """A tensor that is made when it is first taken.

    It and its ingredients are released when the last taker has it.
    """

    def __init__(self, make: Callable[[], Tensor]) -> None:
        self._make: Callable[[], Tensor] | None = make
        self._made: Tensor | None = None
        self._takers = 0

    def promise(self) -> "Recipe":
        """Announce one more taker."""
        self._takers += 1
        return self

    @torch.no_grad()
    def take(self) -> Tensor:
        """Return the tensor; raises RuntimeError in a second backward pass, without ingredients."""
        if self._make is None:
            raise RuntimeError(
                'a second backward pass needs what the first one released; use recompute "none"'
            )
        made = self._make() if self._made is None else self._made
        self._takers -= 1
        self._made = made if self._takers else None
        self._make = self._make if self._takers else None
        return made


@contextmanager
def not_kept(tensor: Tensor, recipe: Recipe) -> Iterator[None]:
    """Let the recipe make what operations in here would keep of `tensor` or of its views.

    The tensor must be contiguous.
    """
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
    """Pass the tensor through the consumers in turn; with a recipe, none keeps its input."""
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
