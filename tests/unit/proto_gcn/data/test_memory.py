"""A data file is in memory once, however many workers read it."""

import multiprocessing
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from proto_gcn.config.train import TrainConfig
from proto_gcn.data import packed
from proto_gcn.data.dataset import load_dataset, load_splits, make_loader
from proto_gcn.data.packed import PackedArrays

MIB = 2**20
SAMPLE_BYTES = 2 * 300 * 25 * 3 * 2


def data_file(path: Path, mebibytes: int) -> Path:
    """Write samples of 88 KiB that all differ."""
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
    """Write small samples, all in one file of keypoints."""
    (folder / "kp").mkdir(parents=True)
    keypoint, frames = np.ones((2, 17, 3), np.float16), np.array([0, 1], np.int16)
    names = [f"video-{number}" for number in range(samples)]
    pack = {name: {"keypoint": keypoint.copy(), "frame_inds": frames} for name in names}
    (folder / "kp" / "all.pkl").write_bytes(pickle.dumps(pack))
    known = {"label": 0, "img_shape": (240, 320), "raw_file": "kp/all.pkl"}
    annotations = [
        {"frame_dir": name, **known, "anno_inds": np.ones(2, np.bool_)} for name in names
    ]
    content = {"split": {"train": names, "val": names[:1]}, "annotations": annotations}
    (folder / "k.pkl").write_bytes(pickle.dumps(content))
    return folder / "k.pkl"


def workers_memory(raw_config: dict[str, Any], path: Path) -> list[dict[str, int]]:
    """Return the memory map of each of two workers, in bytes, after they read all samples."""
    raw_config["data"] |= {"workers_per_gpu": 2, "videos_per_gpu": 64}
    config = TrainConfig.model_validate(raw_config)
    before = set(multiprocessing.active_children())
    train = load_dataset(config, path, config.data.train_split, clips=0, labelled=True)
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
    many = workers_memory(raw_config, data_file(tmp_path / "many.pkl", 54))
    more_private = max(map(private, many)) - max(map(private, few))
    more_mapped = sum(w["Rss"] for w in many) - sum(w["Rss"] for w in few)
    assert more_mapped > 40 * MIB  # they read the samples
    assert more_private < 10 * MIB  # but have no copy of the additional 50 MiB


def test_workers_share_the_locations_of_samples_in_keypoint_files(
    coco_config: dict[str, Any], tmp_path: Path
) -> None:
    coco_config["data"] |= {"kpfiles": "kp", "flip": 0.0}
    few = workers_memory(coco_config, kinetics_file(tmp_path / "few", 1_000))
    many = workers_memory(coco_config, kinetics_file(tmp_path / "many", 15_000))
    more_private = max(map(private, many)) - max(map(private, few))
    assert more_private < 3.5 * MIB  # 14,000 annotations as Python objects would take about 5


def test_the_file_itself_is_not_kept(raw_config: dict[str, Any], tmp_path: Path) -> None:
    path = data_file(tmp_path / "x.pkl", 8)
    splits = load_splits(TrainConfig.model_validate(raw_config), path)
    assert str(path) not in Path("/proc/self/maps").read_text()
    assert len(splits.train) == 8 * MIB // SAMPLE_BYTES


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(packed, "BLOCK_BYTES", 2**18)
    return 2**18


@pytest.mark.parametrize(
    "shapes", [[], [(1, 5, 25, 3)], [(2, 3, 25, 3), (1, 7, 17, 3)], [(2, 300, 25, 3)] * 9]
)
@pytest.mark.usefixtures("small_blocks")
def test_packed_arrays_equal_the_originals(shapes: list[tuple[int, ...]]) -> None:
    dtypes = [np.float16, np.float32, np.float64]
    arrays = [np.full(shape, number, dtypes[number % 3]) for number, shape in enumerate(shapes)]
    copies = PackedArrays(array[:, ::-1] for array in arrays)
    assert len(copies) == len(arrays)
    for found, wanted in zip(copies, arrays, strict=True):
        assert np.array_equal(found, wanted)
        assert found.dtype == wanted.dtype
        assert not found.flags.writeable
        assert found.flags.aligned
    assert [a.shape for a in copies[-1:]] == shapes[-1:]
    if shapes:
        with pytest.raises(IndexError):
            copies[len(shapes)]


def test_an_array_larger_than_a_block_gets_its_own_block(small_blocks: int) -> None:
    arrays = [
        np.ones((1, 1, 1, 8)),
        np.full((1, small_blocks // 8, 1, 2), 2.0),
        np.full((1, 1, 1, 8), 3.0),
    ]
    copies = PackedArrays(arrays)
    assert [float(a.min()) for a in copies] == [float(a.max()) for a in copies] == [1.0, 2.0, 3.0]
