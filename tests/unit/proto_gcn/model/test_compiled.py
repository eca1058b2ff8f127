"""torch.compile where there is no compiler."""

import os
import subprocess
import sys
from pathlib import Path

from devtools import ROOT

SCRIPT = """
import torch
from torch import nn
from proto_gcn.config.train import BackboneConfig
from proto_gcn.errors import ConfigError
from proto_gcn.model.fused.backbone import FusedBackbone


class Small(nn.Module):
    def forward(self, x, copies):
        return x + 1, x


backbone = FusedBackbone(BackboneConfig(base_channels=8, num_stages=1))
backbone.gcn = nn.ModuleList([Small()])  # a real block takes ten seconds until the compiler's turn
backbone.compile_blocks()
try:
    backbone(torch.ones(1, 1, 4, 25, 3))
except ConfigError as error:
    print(error)
"""


def test_without_a_compiler_one_sentence_names_the_key_to_set(tmp_path: Path) -> None:
    elsewhere = {
        "CXX": str(tmp_path / "g++"),
        "TORCHINDUCTOR_CACHE_DIR": str(tmp_path),
        "PYTHONPATH": str(ROOT),
    }
    command = [sys.executable, "-c", SCRIPT]
    ran = subprocess.run(
        command, env=os.environ | elsewhere, capture_output=True, text=True, timeout=300
    )
    assert ran.returncode == 0, ran.stderr
    (sentence,) = ran.stdout.splitlines()
    advice = "set engine.compile to false, or install a C and C++ compiler (gcc, g++)"
    assert sentence.startswith(
        f"engine.compile does not work on this machine: {advice} (InvalidCxxCompiler: "
    )
