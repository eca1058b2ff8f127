"""Processes of `python train.py` that cannot train print one sentence with the remedy and exit."""

import os
import pickle
from typing import Any

import pytest
import torch

from tests.training.lab import CONFIG, ROOT, Lab, read_until

WEIGHTS_ONLY = {"state_dict": {}, "meta": {"epoch": 3}}
OTHER = CONFIG | {
    "model": {"backbone": CONFIG["model"]["backbone"] | {"base_channels": 16}, "cls_head": {}}
}


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (WEIGHTS_ONLY, "holds weights only, so training cannot resume from it; use load_from"),
        (
            {"state_dict": {}, "progress": {}, "meta": {"config": OTHER}},
            "was written with other model settings; restore them or start a new job: "
            "model.backbone.base_channels, model.cls_head.num_classes",
        ),
    ],
    ids=["weights-only", "other-config"],
)
def test_a_checkpoint_that_does_not_fit_ends_with_2_and_is_kept(
    content: dict[str, Any], sentence: str, lab: Lab
) -> None:
    lab.latest.parent.mkdir(parents=True)
    torch.save(content, lab.latest)
    before = lab.latest.read_bytes()
    code, lines = lab.run()
    assert (code, len(lines)) == (2, 1)
    assert lines[0].startswith(f"{lab.latest}: the checkpoint {sentence}")
    assert lab.latest.read_bytes() == before


def test_a_bad_config_ends_with_2_and_a_sentence(lab: Lab) -> None:
    lab.configure(total_epoch=3)
    code, lines = lab.run()
    assert code == 2
    assert lines == [f"{lab.root}/config.yaml: unknown key total_epoch; did you mean total_epochs?"]
    assert (lab.folder / "train.log").read_text().splitlines() == lines


def test_a_missing_promised_gpu_ends_with_1_before_training(lab: Lab) -> None:
    code, lines = lab.run(REQUIRE_GPU="true")
    assert (code, len(lines)) == (1, 1)
    assert lines[0].startswith("a GPU was promised (REQUIRE_GPU=true), but PyTorch ")
    assert (lab.folder / "train.log").read_text().splitlines() == lines
    assert not (lab.folder / "metrics.jsonl").exists()


def test_an_invalid_number_of_processes_ends_with_2_and_a_sentence(lab: Lab) -> None:
    code, lines = lab.run(TRAIN_PROCESSES="two")
    assert (code, lines) == (
        2,
        ["TRAIN_PROCESSES must be a whole number from 1 up, not 'two'; or leave it out"],
    )


@pytest.mark.parametrize("variable", ["CONFIG_FILE", "WORK_DIR", "JOB_ID"])
def test_a_missing_variable_ends_with_2_and_a_sentence(variable: str, lab: Lab) -> None:
    code, lines = lab.run(**{variable: ""})
    assert (code, len(lines)) == (2, 1)
    assert lines[0].startswith(variable)


def test_a_failpoint_outside_tests_ends_with_2(lab: Lab) -> None:
    code, lines = lab.run(FAILPOINT="trainer.result.before:kill", GPUQ_TESTING="")
    assert (code, len(lines)) == (2, 1)
    assert "works only in tests" in lines[0]


def test_missing_data_ends_with_2_and_names_file_and_key(lab: Lab) -> None:
    (lab.root / "datasets" / "tiny.pkl").unlink()
    code, lines = lab.run()
    assert (code, len(lines)) == (2, 1)
    assert lines[0].startswith(
        f"cannot read the data file {lab.root}/datasets/tiny.pkl: No such file or directory"
    )
    assert "data.ann_file" in lines[0]


class Hostile:
    def __reduce__(self) -> Any:
        return os.system, ("touch witness",)


def test_hostile_data_ends_with_2_and_is_not_executed(lab: Lab) -> None:
    (lab.root / "datasets" / "tiny.pkl").write_bytes(pickle.dumps(Hostile()))
    code, lines = lab.run()
    assert (code, len(lines)) == (2, 1)
    assert "is refused: it needs posix.system" in lines[0]
    assert not (ROOT / "witness").exists()


def test_nan_ends_with_1_and_keeps_the_last_good_checkpoint(lab: Lab) -> None:
    process = lab.start()
    read_until(process, "epoch 2/4 step 1/6")
    process.kill()
    process.communicate()
    good = lab.latest.read_bytes()
    lab.configure(optimizer={"lr": 1e30})
    code, lines = lab.run()
    assert code == 1
    assert "lower optimizer.lr (1e+30)" in lines[-1]
    assert "the last good checkpoint is kept" in lines[-1]
    assert lab.latest.read_bytes() == good
