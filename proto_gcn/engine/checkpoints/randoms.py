"""The states of all random generators that a training draws from."""

import random
from typing import Any

import numpy as np
import torch


def state() -> dict[str, Any]:
    """Return the states, in types that torch.load(weights_only=True) accepts."""
    name, keys, *rest = np.random.get_state(legacy=True)
    cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []
    numpy_state = (str(name), torch.from_numpy(np.asarray(keys).astype(np.int64)), *rest)
    return {
        "python": random.getstate(),
        "numpy": numpy_state,
        "torch": torch.get_rng_state(),
        "cuda": cuda,
    }


def restore(state: dict[str, Any]) -> None:
    """Restore what `state` returned earlier, perhaps on another machine."""
    random.setstate(state["python"])
    name, keys, *rest = state["numpy"]
    np.random.set_state((name, keys.numpy().astype(np.uint32), *rest))
    torch.set_rng_state(state["torch"])
    if len(state["cuda"]) == torch.cuda.device_count():  # another machine has other generators
        torch.cuda.set_rng_state_all(state["cuda"])
