"""Count the multiply-adds of a pass, as the published numbers were counted."""

from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode
from torch.utils.hooks import RemovableHandle

from proto_gcn.model.head import ProtoGCN
from proto_gcn.model.tcn import TemporalUnit


def products(network: ProtoGCN, clips: Tensor, labels: Tensor | None = None) -> int:
    """Return those of convolutions and matrix products, which take nearly all of the time."""
    with FlopCounterMode(display=False) as counter:
        network(clips, labels)
    return counter.get_total_flops() // 2  # it counts a multiplication and an addition as two


def published_count(plain: ProtoGCN, clips: Tensor, labels: Tensor) -> int:
    """Return the count of fvcore, which counted the published code.

    It adds a little to `products`: 2 for each value that a batch norm gets, 1 for each that the
    head averages, 1/2 for each of mean joint times add_coeff.
    """
    others: list[int] = []
    hooks = [hook for module in plain.modules() for hook in _counted(module, others)]
    hooks.append(
        plain.backbone.register_forward_hook(
            lambda _, __, trunk: others.append(trunk.features.numel())
        )
    )
    total = products(plain, clips, labels)
    for hook in hooks:
        hook.remove()
    return total + sum(others)


def _counted(module: nn.Module, others: list[int]) -> list[RemovableHandle]:
    """Count the inputs of a batch norm, and of a temporal unit's `transform`."""
    if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
        count = lambda _, given: others.append(2 * given[0].numel())  # noqa: E731
        return [module.register_forward_pre_hook(count)]
    if isinstance(module, TemporalUnit):
        half = lambda _, given: others.append(given[0].numel() // 2)  # noqa: E731
        return [module.transform.register_forward_pre_hook(half)]
    return []
