"""The network of a training, plain or fused, set up as the config's section `engine` asks."""

import torch

from proto_gcn.config.train import EngineConfig, ModelConfig
from proto_gcn.errors import ConfigError
from proto_gcn.model.fused.backbone import FusedBackbone
from proto_gcn.model.fused.head import FusedProtoGCN
from proto_gcn.model.head import ProtoGCN


def build(config: ModelConfig, engine: EngineConfig) -> ProtoGCN:
    """Return a fresh network; plain and fused ones have the same parameters and results."""
    return FusedProtoGCN(config) if engine.fused else ProtoGCN(config)


def prepare(model: ProtoGCN, engine: EngineConfig, processes: int) -> None:
    """Set what `engine` asks for; raises ConfigError for what several processes cannot do."""
    if processes > 1:
        _check_processes(engine, processes)
    allowed = engine.precision == "tf32"
    torch.backends.cuda.matmul.allow_tf32 = allowed
    torch.backends.cudnn.allow_tf32 = allowed  # cuDNN's own default is true
    if engine.channels_last:
        model.to(memory_format=torch.channels_last)
    if isinstance(model.backbone, FusedBackbone):
        model.backbone.recompute = engine.recompute
        if engine.compile:
            model.backbone.compile_blocks()


def _check_processes(engine: EngineConfig, processes: int) -> None:
    together = f"if several processes train together (here {processes})"
    if engine.compile:
        raise ConfigError(f"engine.compile must be false {together}")
    if not engine.fused:
        reason = "plain batch norm sees the samples of one process alone"
        raise ConfigError(f"engine.fused must be true {together}, because {reason}")
