"""The monitor's memory over 100,000 samples, measured in a process of its own."""

import json
import subprocess
import sys

from devtools import ROOT

SAMPLES, WARM = 100_000, 20_000
MOST_GROWTH_BYTES = 5 * 2**20

#: The sampler process: two GPUs, one with a process, the other sometimes lost.
CHILD = f"""
import os
from jobqueue.resources import GpuProcess
from resource_monitor.readings.reading import GpuReading, GpuReport, HostReading, Sample
host = HostReading(45.0, (2.1, 1.9, 1.7), 12288, 32768, 37.5)
for number in range({SAMPLES}):
    bob = GpuProcess(number, 22100, f"user{{number}}")
    busy = GpuReading(0, "GPU-a", "H100", 2048, 10240, 8192, 93, 280.5, 71, 1, processes=(bob,))
    fault = f"error {{number}}" if number % 7 else None
    other = GpuReading(1, "GPU-b", "H100", fault=fault, lost=number % 2 == 0)
    os.write(1, Sample(number / 2, 0.5, host, GpuReport((busy, other))).encode())
os.read(0, 1)
"""

#: The server's side: it keeps the samples and answers as often as it can meanwhile.
PARENT = f"""
import gc, json, sys, time
import psutil
from resource_monitor import create_app
from resource_monitor.sampler import Sampler
from resource_monitor.settings import Settings

sampler, rss, answers = Sampler([sys.executable, "-c", sys.argv[1]]), [], 0
app = create_app(sampler, Settings())
client = app.test_client()
sampler.start()
for until in ({WARM}, {SAMPLES}):
    while not sampler.samples or sampler.samples[-1].at < (until - 1) / 2:
        assert client.get("/status").status_code == client.get("/metrics").status_code == 200
        answers += 1
        time.sleep(0.002)
    gc.collect()
    rss.append(psutil.Process().memory_info().rss)
sampler.stop()
kept = len(sampler.samples)
print(json.dumps({{"rss": rss, "answers": answers, "errors": sampler.errors, "kept": kept}}))
"""


def test_memory_is_flat() -> None:
    done = subprocess.run(
        [sys.executable, "-c", PARENT, CHILD],
        capture_output=True,
        text=True,
        timeout=120,
        cwd=ROOT,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout.splitlines()[-1])
    assert result["rss"][1] - result["rss"][0] < MOST_GROWTH_BYTES, result
    assert result["kept"] == 21
    assert sum(result["errors"].values()) == sum(1 for number in range(SAMPLES) if number % 7)
    assert set(result["errors"]) == {"gpu_lost", "gpu_unknown"}
    assert result["answers"] > 100
