"""The cases that are measured: 4.3 million parameters, T = 100, 25 joints, batch 16, SGD.

The reference is the plain network, which computes as the published code does.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager

import torch

from devtools.reference.pairs import clips, fast, model_config, plain
from proto_gcn.model.fused.head import FusedProtoGCN
from proto_gcn.model.head import ProtoGCN

BATCH, FRAMES, CLASSES = 16, 100, 60
MIX = [1, 1, 1, 1, 2]  # NTU60: about four samples in five have one person
TWO = [2]
VIEWS, VIEWED = 10, 5  # evaluation: ten clips of each of five samples, one with two persons
Work = Callable[[], object]


def networks(device: str) -> tuple[ProtoGCN, FusedProtoGCN]:
    """Return the reference and the fused network, with the same parameters."""
    config = model_config(classes=CLASSES, num_prototype=400)
    model = fast(config)
    reference = plain(model, config)
    for network in (reference, model):
        network.to(device)
        network.memory = network.memory  # moves it too: it is not a buffer
    return reference, model


def training(
    model: ProtoGCN, device: str, persons: list[int], autocast: AbstractContextManager[object]
) -> Work:
    """Return one step of SGD, from the forward pass to the update."""
    optimizer = torch.optim.SGD(
        model.parameters(), lr=1e-4, momentum=0.9, nesterov=True, weight_decay=5e-4
    )
    x = clips(BATCH, FRAMES, 25, persons).to(device)
    labels = (torch.arange(BATCH) % CLASSES).to(device)

    def step() -> None:
        model.train()
        optimizer.zero_grad()
        with autocast:
            loss = model(x, labels).loss
        loss.backward()
        optimizer.step()

    return step


def evaluation(model: ProtoGCN, device: str, prototypes: bool = False) -> Work:
    """Return the computation of the logits of ten clips of each sample.

    With prototypes it computes these as well, as the published code does in evaluation too.
    """
    labels = torch.zeros(VIEWS, dtype=torch.long, device=device) if prototypes else None
    x = clips(VIEWED, FRAMES, 25, MIX).repeat_interleave(VIEWS, dim=0).to(device)

    def score() -> None:
        model.eval()
        with torch.no_grad():
            for sample in x.split(VIEWS):
                model(sample, labels)

    return score


def bf16(device: str) -> AbstractContextManager[object]:
    return torch.autocast(device, torch.bfloat16)
