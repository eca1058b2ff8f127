"""`gpus: 2` from submission to training, on a machine whose (fake) NVML has three GPUs."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from devtools.nvml.script import FakeNvml, gpu, uuid
from devtools.testbed.system import System, running_system, wait_for

BUSY = "process 4194304 22100"


@pytest.fixture(scope="module")
def nvml(nvml_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> FakeNvml:
    fake = FakeNvml(nvml_folder, tmp_path_factory.mktemp("script") / "nvml.txt")
    fake.says(gpu(0), gpu(1), gpu(2))
    return fake


@pytest.fixture(scope="module")
def system(nvml: FakeNvml, tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    env = {"REQUIRE_GPU": "true", "MAX_RUNNING_JOBS": "3", "SAMPLE_PERIOD_S": "0.2", **nvml.env}
    with running_system(tmp_path_factory.mktemp("gpus") / "system", **env) as system:
        yield system


def reason_of(system: System, job_id: str) -> tuple[str, str]:
    reason = system.job(job_id)["reason"]
    return reason["code"], reason["message"]


def given(system: System, job_id: str) -> list[str]:
    [start] = [life for life in system.lives(job_id) if life["what"] == "start"]
    return list(start["gpus"].split(","))


def test_two_of_three_and_the_third_for_the_next(system: System) -> None:
    pair = system.submitted("ann", {"seconds": 3}, gpus=2)
    one = system.submitted("ben", gpus=1)
    system.wait_status(one, "succeeded")
    assert system.job(pair)["status"] == "running"  # side by side
    system.wait_status(pair, "succeeded")
    assert given(system, pair) == [uuid(0), uuid(1)]
    assert given(system, one) == [uuid(2)]


def test_a_job_waits_for_its_second_gpu_and_is_told_who_uses_it(
    system: System, nvml: FakeNvml
) -> None:
    nvml.says(gpu(0, utilization=93, more=BUSY), gpu(1), gpu(2, used=24576))
    wait_for("the gate sees it", lambda: _free(system) == 1)
    job_id = system.submitted("ann", gpus=2)
    begin = (
        "1st in line; test-node has 1 free GPU; the job needs 2; "
        "GPU 0 is at 93 % (limit: below 80 %), used by "
    )
    wait_for("it is told why", lambda: reason_of(system, job_id)[1].startswith(begin))
    code, message = reason_of(system, job_id)
    assert code == "resources_busy"
    assert message.endswith("(22,100 MB); GPU 2 has 0 MB free (limit: above 200 MB)")
    nvml.says(gpu(0, utilization=93, more=BUSY), gpu(1), gpu(2))
    system.wait_status(job_id, "succeeded")
    assert given(system, job_id) == [uuid(1), uuid(2)]


def test_more_than_the_largest_node_has_never_fits_and_holds_nobody_up(
    system: System, nvml: FakeNvml
) -> None:
    nvml.says(gpu(0), gpu(1), gpu(2))
    five = system.submitted("ann", gpus=5)
    wait_for("it is told so", lambda: reason_of(system, five)[0] == "never_fits")
    assert reason_of(system, five)[1] == "1st in line; asks for 5 GPUs, but the largest node has 3"
    system.wait_status(system.submitted("ben", gpus=2), "succeeded")


def test_the_dry_run_shows_two_devices(system: System) -> None:
    workflow = system.submit("ann", gpus=2, dry_run=True).json()["workflow"]
    container = workflow["spec"]["templates"][0]["container"]
    assert container["resources"]["limits"]["nvidia.com/gpu"] == 2
    assert {"name": "CUDA_VISIBLE_DEVICES", "value": "0,1"} in container["env"]


def _free(system: System) -> int:
    """How many GPUs the scheduler has seen free; 0 until it has seen the node."""
    return sum(
        gpu["available"]
        for node in system.get("/nodes")["nodes"]
        for gpu in node["snapshot"]["gpus"]
    )
