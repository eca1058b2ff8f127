"""The fast network and its references with the same parameters, moved off where they start."""

import numpy as np
import torch
from torch import Tensor, nn

from devtools.reference.batched import BatchedProtoGCN
from devtools.reference.formulas import Network, losses
from devtools.reference.layouts import SPIDER
from proto_gcn.config.train import ModelConfig
from proto_gcn.model.backbone import stages
from proto_gcn.model.head import ProtoGCN

AnyNetwork = ProtoGCN | BatchedProtoGCN | Network


def model_config(
    layout: str = "nturgb+d", classes: int = 60, dim: int = 256, **backbone: object
) -> ModelConfig:
    """Without dropout: two implementations draw different masks."""
    graph = {"layout": layout, **({"parents": SPIDER} if layout == "custom" else {})}
    return ModelConfig.model_validate(
        {
            "backbone": {"prn_dropout": 0.0, "graph_cfg": graph, **backbone},
            "cls_head": {"joint_cfg": layout, "num_classes": classes, "csc": {"dim": dim}},
        }
    )


def fast(config: ModelConfig, seed: int = 0) -> ProtoGCN:
    """Parameters moved off where they start (zeros would hide what they multiply), statistics near those of some data.

    Samples differ in their logits, and class 0 is predicted for all, so that a label 0 moves the contrastive memory.
    """
    torch.manual_seed(seed)
    np.random.seed(seed)  # the start adjacency
    model = ProtoGCN(config)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            constant = (
                0.5 if name.endswith((".alpha", ".beta", ".add_coeff")) else 0.1
            )  # at the start, that is
            spread = float(parameter.std(unbiased=False))
            parameter.add_((0.3 * spread if spread else constant) * torch.randn_like(parameter))
        classifier = model.cls_head.fc_cls
        classifier.weight.normal_(std=0.5 * classifier.in_features**-0.5)
        classifier.bias[0] += 3
        have_statistics(model, clips(4, 16, config.backbone.graph_cfg.skeleton.joints, [2]))
    return model


def have_statistics(model: ProtoGCN, x: Tensor) -> None:
    """Running ones near those of x: others would make all samples alike in eval mode, layer by layer."""
    norms = [
        module for module in model.modules() if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d)
    ]
    memory = model.memory
    for norm in norms:
        norm.momentum = 1.0
    model(x, torch.zeros(len(x), dtype=torch.long))
    model.memory = memory
    for norm in norms:
        norm.momentum = 0.1
        norm.running_mean.add_(0.05 * norm.running_var.sqrt() * torch.randn_like(norm.running_mean))
        norm.running_var.mul_(0.9 + 0.4 * torch.rand_like(norm.running_var))


def formulas(model: ProtoGCN, config: ModelConfig) -> Network:
    """The oracle with a copy of the model's parameters, statistics and contrastive memory."""
    trained = dict(model.named_parameters())
    state = {
        name: value.detach().clone().requires_grad_(name in trained)
        for name, value in model.state_dict().items()
    }
    strides = [stage.stride for stage in stages(config.backbone)]
    mixed = config.backbone.data_bn_type == "MVC"
    memory = model.memory.detach().clone().to(next(model.parameters()))
    return Network(state, memory, model.training, strides, mixed, config.cls_head.weight)


def batched(model: ProtoGCN, config: ModelConfig) -> BatchedProtoGCN:
    """The published way with a copy of the model's parameters, statistics and contrastive memory."""
    backbone, head = config.backbone, config.cls_head
    plan = [(stage.in_channels, stage.channels, stage.stride) for stage in stages(backbone)]
    adjacency = model.backbone.gcn[0].gcn.A.detach()
    twin = BatchedProtoGCN(
        plan, adjacency, backbone.num_prototype, head.num_classes, head.csc.dim, head.weight
    )
    twin.to(adjacency).load_state_dict(model.state_dict())
    twin.cls_head.csc_loss.memory = model.memory.detach().clone().to(adjacency)
    return twin.train(model.training)


def values(network: AnyNetwork, x: Tensor, labels: Tensor) -> dict[str, Tensor]:
    """Of one pass: features, graph, logits, parts of the loss, contrastive memory, all parameters and statistics."""
    if isinstance(network, Network):
        parts = dict(
            zip(("loss", "cross_entropy", "contrastive"), losses(network, x, labels), strict=True)
        )
        return {**network.seen, **parts, "memory": network.memory, **network.state}
    seen: dict[str, Tensor] = {}
    hooks = [
        network.backbone.register_forward_hook(
            lambda _, __, trunk: seen.update(features=trunk.features)
        ),
        network.cls_head.csc_loss.register_forward_pre_hook(
            lambda _, given: seen.update(graph=given[0])
        ),
    ]
    output = network(x, labels)
    for hook in hooks:
        hook.remove()
    return {
        **seen,
        **output._asdict(),
        "memory": network.cls_head.csc_loss.memory,
        **network.state_dict(),
    }


def parameters(network: AnyNetwork) -> dict[str, Tensor]:
    """What is trained, by name."""
    if isinstance(network, Network):
        return {name: value for name, value in network.state.items() if value.requires_grad}
    return dict(network.named_parameters())


def values_and_gradients(network: AnyNetwork, x: Tensor, labels: Tensor) -> dict[str, Tensor]:
    """Of a forward and a backward pass."""
    seen = values(network, x, labels)
    seen["loss"].backward()
    return {
        **seen,
        **{f"gradient of {name}": value.grad for name, value in parameters(network).items()},
    }


def clips(
    samples: int, frames: int, joints: int, present: list[int], dtype: torch.dtype = torch.float32
) -> Tensor:
    """[N, 2, T, V, 3] random walks; of sample i the first present[i % len(present)] persons are there."""
    walks = torch.randn(samples, 2, frames, joints, 3, dtype=torch.float64).cumsum(2) / frames**0.5
    for i in range(samples):
        walks[i, present[i % len(present)] :] = 0
    return walks.to(dtype)
