"""The fused network, the plain one and the formulas with the same parameters, moved off zero."""

from typing import TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from devtools.reference.formulas import Network, losses
from devtools.reference.layouts import SPIDER
from proto_gcn.config.train import ModelConfig
from proto_gcn.model.backbone import stages
from proto_gcn.model.fused.head import FusedProtoGCN
from proto_gcn.model.head import ProtoGCN

AnyNetwork = ProtoGCN | Network
Twin = TypeVar("Twin", bound=ProtoGCN)


def model_config(
    layout: str = "nturgb+d", classes: int = 60, dim: int = 256, **backbone: object
) -> ModelConfig:
    """Return a config without dropout: two implementations draw different masks."""
    graph = {"layout": layout, **({"parents": SPIDER} if layout == "custom" else {})}
    return ModelConfig.model_validate(
        {
            "backbone": {"prn_dropout": 0.0, "graph_cfg": graph, **backbone},
            "cls_head": {"joint_cfg": layout, "num_classes": classes, "csc": {"dim": dim}},
        }
    )


def fast(config: ModelConfig, seed: int = 0) -> FusedProtoGCN:
    """Return a fused network whose parameters are moved off their start.

    Zeros would hide what they multiply. Running statistics are near those of some data. Samples
    differ in their logits, and class 0 is predicted for all, so that a label 0 moves the memory.
    """
    torch.manual_seed(seed)
    np.random.seed(seed)  # the start adjacency
    model = FusedProtoGCN(config)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            _move_off_its_start(name, parameter)
        classifier = model.cls_head.fc_cls
        classifier.weight.normal_(std=0.5 * classifier.in_features**-0.5)
        classifier.bias[0] += 3
        have_statistics(model, clips(4, 16, config.backbone.graph_cfg.skeleton.joints, [2]))
    return model


def _move_off_its_start(name: str, parameter: Tensor) -> None:
    constant = 0.5 if name.endswith((".alpha", ".beta", ".add_coeff")) else 0.1
    spread = float(parameter.std(unbiased=False))  # 0 where all entries start alike
    parameter.add_((0.3 * spread if spread else constant) * torch.randn_like(parameter))


def have_statistics(model: ProtoGCN, x: Tensor) -> None:
    """Set running statistics near those of x.

    With others, all samples would become alike in eval mode, layer by layer.
    """
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


def plain(model: ProtoGCN, config: ModelConfig) -> ProtoGCN:
    """Return the plain network with copies of the model's parameters, statistics and memory."""
    return _with_state_of(model, ProtoGCN(config))


def _with_state_of(model: ProtoGCN, twin: Twin) -> Twin:
    weight = model.cls_head.fc_cls.weight
    twin.to(weight).load_state_dict(model.state_dict())
    twin.memory = model.memory.detach().clone().to(weight)
    twin.train(model.training)
    return twin


def formulas(model: ProtoGCN, config: ModelConfig) -> Network:
    """Return the oracle with copies of the model's parameters, statistics and memory."""
    backbone = config.backbone
    return Network(
        state=copied_state(model),
        memory=model.memory.detach().clone().to(model.cls_head.fc_cls.weight),
        training=model.training,
        strides=[stage.stride for stage in stages(backbone)],
        persons_in_norm=backbone.data_bn_type == "MVC",
        scale_of_each_subset=backbone.gcn_scales == "each",
        prototypes_see_adjacency=backbone.prn_input == "topology",
        weight=config.cls_head.weight,
    )


def copied_state(module: nn.Module, prefix: str = "") -> dict[str, Tensor]:
    """Return the module's state_dict as copies that record gradients where its own do."""
    trained = dict(module.named_parameters())
    return {
        prefix + name: value.detach().clone().requires_grad_(name in trained)
        for name, value in module.state_dict().items()
    }


def values(network: AnyNetwork, x: Tensor, labels: Tensor) -> dict[str, Tensor]:
    """Return what one pass computes and leaves behind, by name.

    These are features, graph, logits, the parts of the loss, the contrastive memory, and all
    parameters and running statistics.
    """
    if isinstance(network, Network):
        names = "loss", "cross_entropy", "contrastive"
        parts = dict(zip(names, losses(network, x, labels), strict=True))
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
    return {**seen, **output._asdict(), "memory": network.memory, **network.state_dict()}


def parameters(network: AnyNetwork) -> dict[str, Tensor]:
    """Return what is trained, by name."""
    if isinstance(network, Network):
        return {name: value for name, value in network.state.items() if value.requires_grad}
    return dict(network.named_parameters())


def values_and_gradients(network: AnyNetwork, x: Tensor, labels: Tensor) -> dict[str, Tensor]:
    """Return `values` and the gradients of all parameters, after a backward pass."""
    seen = values(network, x, labels)
    seen["loss"].backward()
    trained = parameters(network).items()
    return {**seen, **{f"gradient of {name}": value.grad for name, value in trained}}


def clips(
    samples: int, frames: int, joints: int, present: list[int], dtype: torch.dtype = torch.float32
) -> Tensor:
    """Return random walks [N, 2, T, V, 3].

    In sample i the first present[i % len(present)] persons are there; the others are zeros.
    """
    walks = torch.randn(samples, 2, frames, joints, 3, dtype=torch.float64).cumsum(2) / frames**0.5
    for i in range(samples):
        walks[i, present[i % len(present)] :] = 0
    return walks.to(dtype)
