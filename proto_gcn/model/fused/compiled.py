"""torch.compile for the blocks of the network, and the remedy if it cannot compile."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from proto_gcn.errors import ConfigError, first_line


def compile_each(blocks: Iterable[nn.Module], **options: Any) -> None:
    """Compile every block.

    One code object serves all blocks, so torch's limit on its variants is raised to hold them.
    """
    every = list(blocks)
    torch._dynamo.config.recompile_limit = max(
        torch._dynamo.config.recompile_limit, 16 * len(every)
    )
    for block in every:
        block.compile(**options)


@contextmanager
def compiler_advice() -> Iterator[None]:
    """Turn the failure of a missing or broken compiler into a ConfigError with the remedy.

    It shows at the first call of a compiled block.
    """
    try:
        yield
    except torch._dynamo.exc.BackendCompilerFailed as error:
        remedy = "set engine.compile to false, or install a C and C++ compiler (gcc, g++)"
        raise ConfigError(
            f"engine.compile does not work on this machine: {remedy} ({first_line(error)})"
        ) from error
