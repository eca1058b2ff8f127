"""`make demo`, as the README's first command: to a finished training, with nothing left running."""

import os
import subprocess
import sys
from pathlib import Path

import psutil

from devtools import ROOT


def test_make_demo(tmp_path: Path) -> None:
    folder = tmp_path / "demo"
    venv = Path(sys.prefix)
    done = subprocess.run(
        ["make", "demo", f"VENV={venv}", f"ARGS=--data-dir {folder}"],
        cwd=ROOT,
        env={**os.environ, "NO_COLOR": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    assert "succeeded" in done.stdout
    run = next((folder / "data" / "demo" / "runs").iterdir())
    for name in (
        "checkpoints/best.pth",
        "train.log",
        "metrics.jsonl",
        "report.html",
        "result.json",
    ):
        assert (run / name).stat().st_size > 0
        assert name == "result.json" or str(run / name) in done.stdout
    best = float(done.stdout.rpartition("best top-1 ")[2].split()[0])
    assert best >= 90
    left = [
        process
        for process in psutil.process_iter(["cmdline"])
        if str(folder) in " ".join(process.info["cmdline"] or [])
    ]
    assert left == []
