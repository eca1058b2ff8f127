"""A data file is in memory once, however many workers read it."""

import multiprocessing
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from proto_gcn.config.train import TrainConfig
from proto_gcn.data.dataset import load_splits, make_loader
from proto_gcn.data.packed import BLOCK_BYTES, PackedArrays

MIB = 2**20
SAMPLE_BYTES = 2 * 300 * 25 * 3 * 2


def data_file(path: Path, mebibytes: int) -> Path:
    """Samples of 88 KiB that all differ."""
    count = mebibytes * MIB // SAMPLE_BYTES
    generator = np.random.default_rng(0)
    keypoint = generator.normal(0, 1, (2, 300, 25, 3)).astype(np.float16)
    annotations = []
    for number in range(count):
        keypoint[:, :, 3] = number % 1000
        annotations.append(
            {"frame_dir": f"s{number}", "label": number % 4, "keypoint": keypoint.copy()}
        )
    names = [a["frame_dir"] for a in annotations]
    path.write_bytes(
        pickle.dumps(
            {"split": {"xsub_train": names, "xsub_val": names[:1]}, "annotations": annotations}
        )
    )
    return path


def kinetics_file(folder: Path, samples: int) -> Path:
    """Small ones, all in one file of keypoints."""
    (folder / "kp").mkdir(parents=True)
    keypoint, frames = np.ones((2, 17, 3), np.float16), np.array([0, 1], np.int16)
    names = [f"video-{number}" for number in range(samples)]
    pack = {name: {"keypoint": keypoint.copy(), "frame_inds": frames.copy()} for name in names}
    (folder / "kp" / "all.pkl").write_bytes(pickle.dumps(pack))
    known = {"label": 0, "img_shape": (240, 320), "raw_file": "kp/all.pkl"}
    annotations = [
        {"frame_dir": name, **known, "anno_inds": np.ones(2, np.bool_)} for name in names
    ]
    content = {"split": {"train": names, "val": names[:1]}, "annotations": annotations}
    (folder / "k.pkl").write_bytes(pickle.dumps(content))
    return folder / "k.pkl"


def workers_memory(raw_config: dict[str, Any], path: Path) -> list[dict[str, int]]:
    """What each of two workers has mapped, in bytes, after all samples have been through them."""
    raw_config["data"] |= {"workers_per_gpu": 2, "videos_per_gpu": 16}
    config = TrainConfig.model_validate(raw_config)
    before = set(multiprocessing.active_children())
    train = load_splits(config, path).train
    loader = make_loader(train, config.data, seed=0)
    seen = sum(len(labels) for _, labels in loader)
    assert seen == len(train)
    workers = set(multiprocessing.active_children()) - before
    assert len(workers) == min(2, torch.multiprocessing.cpu_count())
    return [memory(process.pid) for process in workers]


def memory(pid: int | None) -> dict[str, int]:
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]
    return {line.split(":")[0]: int(line.split()[1]) * 1024 for line in lines}


def private(counts: dict[str, int]) -> int:
    return counts["Private_Clean"] + counts["Private_Dirty"]


def test_workers_share_the_samples(raw_config: dict[str, Any], tmp_path: Path) -> None:
    few = workers_memory(raw_config, data_file(tmp_path / "few.pkl", 4))
    many = workers_memory(raw_config, data_file(tmp_path / "many.pkl", 104))
    more_private = max(map(private, many)) - max(map(private, few))
    more_mapped = sum(w["Rss"] for w in many) - sum(w["Rss"] for w in few)
    assert more_mapped > 80 * MIB  # they did look at the samples
    assert more_private < 10 * MIB  # and have none of the further 100 MiB for themselves


def test_workers_share_what_is_known_of_samples_in_files(
    coco_config: dict[str, Any], tmp_path: Path
) -> None:
    coco_config["data"] |= {"kpfiles": "kp", "flip": 0.0}
    few = workers_memory(coco_config, kinetics_file(tmp_path / "few", 1_000))
    many = workers_memory(coco_config, kinetics_file(tmp_path / "many", 21_000))
    more_private = max(map(private, many)) - max(map(private, few))
    assert (
        more_private < 2 * MIB
    )  # as objects, 20,000 annotations that are looked at take more than 7


def test_the_file_itself_is_not_kept(raw_config: dict[str, Any], tmp_path: Path) -> None:
    path = data_file(tmp_path / "x.pkl", 8)
    splits = load_splits(TrainConfig.model_validate(raw_config), path)
    assert str(path) not in Path("/proc/self/maps").read_text()
    assert len(splits.train) == 8 * MIB // SAMPLE_BYTES


@pytest.mark.parametrize(
    "shapes", [[], [(1, 5, 25, 3)], [(2, 3, 25, 3), (1, 7, 17, 3)], [(2, 300, 25, 3)] * 800]
)
def test_packed_arrays_are_the_arrays(shapes: list[tuple[int, ...]]) -> None:
    dtypes = [np.float16, np.float32, np.float64]
    arrays = [
        np.full(shape, number, dtypes[number % 3 if number < 9 else 0])
        for number, shape in enumerate(shapes)
    ]
    packed = PackedArrays(array[:, ::-1] for array in arrays)
    assert len(packed) == len(arrays)
    for found, wanted in zip(packed, arrays, strict=True):
        assert np.array_equal(found, wanted)
        assert found.dtype == wanted.dtype
        assert not found.flags.writeable
        assert found.flags.aligned
    assert [a.shape for a in packed[-1:]] == shapes[-1:]
    if shapes:
        with pytest.raises(IndexError):
            packed[len(shapes)]


def test_an_array_larger_than_a_block_has_one_for_itself() -> None:
    arrays = [
        np.ones((1, 1, 1, 8)),
        np.full((1, BLOCK_BYTES // 8, 1, 2), 2.0),
        np.full((1, 1, 1, 8), 3.0),
    ]
    packed = PackedArrays(arrays)
    assert [float(a.min()) for a in packed] == [float(a.max()) for a in packed] == [1.0, 2.0, 3.0]
