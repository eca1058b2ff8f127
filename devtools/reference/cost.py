"""How many multiply-adds a pass takes, counted as the published numbers were."""

from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from devtools.reference.batched import BatchedProtoGCN, TemporalUnit
from proto_gcn.model.head import ProtoGCN


def products(
    network: ProtoGCN | BatchedProtoGCN, clips: Tensor, labels: Tensor | None = None
) -> int:
    """Of convolutions and matrix products, which take nearly all of the time."""
    with FlopCounterMode(display=False) as counter:
        network(clips, labels)
    return counter.get_total_flops() // 2  # which has a multiplication and an addition as two


def published_count(network: BatchedProtoGCN, clips: Tensor, labels: Tensor) -> int:
    """products, and the little that fvcore, which counted the published code, counts of other operations.

    2 for each value that a batch norm gets, 1 for each that the head averages, 1/2 for each of mean joint ⊗ add_coeff.
    """
    others: list[int] = []
    hooks = [
        network.backbone.register_forward_hook(
            lambda _, __, trunk: others.append(trunk.features.numel())
        )
    ]
    for module in network.modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            hooks.append(
                module.register_forward_pre_hook(
                    lambda _, given: others.append(2 * given[0].numel())
                )
            )
        if isinstance(module, TemporalUnit):
            added = module.transform  # its input is the sum with that product
            hooks.append(
                added.register_forward_pre_hook(
                    lambda _, given: others.append(given[0].numel() // 2)
                )
            )
    total = products(network, clips, labels)
    for hook in hooks:
        hook.remove()
    return total + sum(others)
