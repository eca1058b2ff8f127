"""What is measured: full width (4.3 million parameters), T = 100, 25 joints, batch 16; SGD as in the configs."""

from collections.abc import Callable
from contextlib import AbstractContextManager

import torch
from torch import nn

from devtools.reference.pairs import batched, clips, fast, model_config

BATCH, FRAMES, CLASSES = 16, 100, 60
MIX = [1, 1, 1, 1, 2]  # NTU60: about four samples in five have one person
TWO = [2]
VIEWS, VIEWED = 10, 5  # evaluation: ten clips each of five samples, one of which has two persons
Work = Callable[[], object]


def networks(device: str) -> tuple[nn.Module, nn.Module]:
    """The reference and the fast network, with the same parameters."""
    config = model_config(classes=CLASSES, num_prototype=400)
    model = fast(config)
    return batched(model, config).to(device), on(model, device)


def on(model: nn.Module, device: str) -> nn.Module:
    """Moved, with the contrastive memory, which is no buffer."""
    model.to(device).memory = model.memory
    return model


def training(
    model: nn.Module, device: str, persons: list[int], autocast: AbstractContextManager[object]
) -> Work:
    """One step of SGD, forward to update."""
    optimizer = torch.optim.SGD(
        model.parameters(), lr=1e-4, momentum=0.9, nesterov=True, weight_decay=5e-4
    )
    x, labels = (
        clips(BATCH, FRAMES, 25, persons).to(device),
        (torch.arange(BATCH) % CLASSES).to(device),
    )

    def step() -> None:
        model.train()
        optimizer.zero_grad()
        with autocast:
            loss = model(x, labels).loss
        loss.backward()
        optimizer.step()

    return step


def evaluation(model: nn.Module, device: str) -> Work:
    """The logits of ten clips of each sample."""
    x = clips(VIEWED, FRAMES, 25, MIX).repeat_interleave(VIEWS, dim=0).to(device)

    def score() -> None:
        model.eval()
        with torch.no_grad():
            for sample in x.split(VIEWS):
                model(sample)

    return score


def bf16(device: str) -> AbstractContextManager[object]:
    return torch.autocast(device, torch.bfloat16)
