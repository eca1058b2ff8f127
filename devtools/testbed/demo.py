"""Shorten the demo of `gpuq up --demo` for tests."""

import re
from pathlib import Path

from devtools import ROOT


def make_small_demo(folder: Path, **changes: str) -> None:
    """Write the shipped demo's config, narrow and short, into the data folder of a `gpuq up`.

    `changes` are further keys of the config with their new values.
    """
    text = (ROOT / "workflows" / "configs" / "demo.yaml").read_text(encoding="utf-8")
    for key, value in {"base_channels": "8", "total_epochs": "2", **changes}.items():
        text, count = re.subn(rf"\b{key}: \S+", f"{key}: {value}", text)
        assert count == 1, key
    (folder / "configs").mkdir(parents=True)
    (folder / "configs" / "demo.yaml").write_text(text, encoding="utf-8")
