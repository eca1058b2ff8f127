"""torch.compile for the blocks of the network, and what to do where it cannot compile."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from proto_gcn.errors import ConfigError, first_line


def compile_each(blocks: Iterable[nn.Module], **options: Any) -> None:
    """One code object serves all blocks: torch's limit on its variants is raised to hold them."""
    every = list(blocks)
    torch._dynamo.config.recompile_limit = max(
        torch._dynamo.config.recompile_limit, 16 * len(every)
    )
    for block in every:
        block.compile(**options)


@contextmanager
def compiler_advice() -> Iterator[None]:
    """A compiler that is missing or fails, which shows at the first call, becomes a ConfigError with the remedy."""
    try:
        yield
    except torch._dynamo.exc.BackendCompilerFailed as error:
        remedy = "set engine.compile to false, or install a C and C++ compiler (gcc, g++)"
        raise ConfigError(
            f"engine.compile does not work on this machine: {remedy} ({first_line(error)})"
        ) from error
