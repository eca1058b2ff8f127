"""Two processes with half a batch each compute what one process computes with the whole batch."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, distributed, multiprocessing
from torch.nn.parallel import DistributedDataParallel

from devtools.reference.pairs import clips, fast, model_config
from proto_gcn.model.fused.head import FusedProtoGCN

WORLD, STEPS = 2, 2
TINY: dict[str, Any] = {
    "base_channels": 8,
    "num_stages": 3,
    "inflate_stages": [3],
    "down_stages": [3],
}
PERSONS = [2, 2, 1, 1]  # absent persons in the second process's half alone
Seen = dict[str, Tensor]


def network(recompute: str) -> FusedProtoGCN:
    model = fast(model_config(classes=3, dim=4, num_prototype=4, **TINY)).double().train()
    model.backbone.recompute = recompute
    model.memory = model.memory.double()
    with torch.no_grad():  # both halves recognise the first class: its mean crosses processes
        model.cls_head.fc_cls.bias.copy_(torch.tensor([50.0, 0.0, 0.0]))
    return model


def batch() -> tuple[Tensor, Tensor]:
    torch.manual_seed(3)
    return clips(4, 6, 25, PERSONS, torch.float64), torch.tensor([0, 1, 0, 2])


def steps(called: torch.nn.Module, model: FusedProtoGCN, x: Tensor, labels: Tensor) -> Seen:
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
    losses = []
    for _ in range(STEPS):
        optimizer.zero_grad()
        output = called(x, labels)
        output.loss.backward()
        losses.append(output.loss.detach())
        optimizer.step()
    gradients = {f"grad {name}": p.grad for name, p in model.named_parameters()}
    return {
        "losses": torch.stack(losses),
        "memory": model.memory,
        **gradients,
        **model.state_dict(),
    }


def work(rank: int, folder: str, recompute: str) -> None:
    torch.set_num_threads(1)
    model, (x, labels) = network(recompute), batch()
    distributed.init_process_group(
        "gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=WORLD
    )
    mine = slice(rank * len(x) // WORLD, (rank + 1) * len(x) // WORLD)
    seen = steps(
        DistributedDataParallel(model, forward_sync_buffers=False), model, x[mine], labels[mine]
    )
    torch.save(seen, f"{folder}/{rank}.pth")
    distributed.destroy_process_group()


@pytest.mark.parametrize("recompute", ["activations", "blocks"])
def test_two_processes_give_the_numbers_of_one(recompute: str, tmp_path: Path) -> None:
    multiprocessing.spawn(work, (str(tmp_path), recompute), nprocs=WORLD)
    both: list[Seen] = [torch.load(tmp_path / f"{rank}.pth") for rank in range(WORLD)]
    model = network(recompute)
    start = model.memory
    alone = steps(model, model, *batch())
    assert not torch.equal(alone["memory"][:, 0], start[:, 0])
    mean = torch.stack([seen["losses"] for seen in both]).mean(0)
    for seen in both:
        for name, value in alone.items():
            torch.testing.assert_close(
                mean if name == "losses" else seen[name],
                value,
                rtol=1e-8,
                atol=1e-9,
                msg=lambda text, name=name: f"{name}: {text}",
            )
