import pickle
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from proto_gcn.config import TrainConfig
from proto_gcn.data import synthetic
from proto_gcn.data.annotations import read_splits
from proto_gcn.data.dataset import EpochBatches, SkeletonDataset, load_splits, make_loader
from proto_gcn.data.pickle_file import read_pickle
from proto_gcn.data.transforms import feature, normalise, to_clips, uniform_frames
from proto_gcn.errors import DataError


@pytest.fixture
def made() -> dict[str, Any]:
    return synthetic.make_dataset(seed=1, classes=4, train=10, val=4)


def write(path: Path, content: object, protocol: int = 4) -> Path:
    path.write_bytes(pickle.dumps(content, protocol))
    return path


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_plain_content_survives_every_protocol(protocol: int, tmp_path: Path) -> None:
    content = {
        "numbers": [1, 2.5, None, True, 10**30],
        "text": ("ü", b"\x00\xff", {1, 2}, frozenset("a")),
        "half": np.arange(6, dtype=np.float16).reshape(2, 3),
        "fortran": np.asfortranarray(np.arange(6, dtype=np.int64).reshape(2, 3)),
        "words": np.array(["a", "bc"]),
        "scalar": np.float32(1.5),
        "ordered": OrderedDict(a=1),
    }
    read = read_pickle(write(tmp_path / "plain.pkl", content, protocol))
    for key in ("half", "fortran", "words"):
        assert np.array_equal(read.pop(key), content[key])
        assert content.pop(key).dtype.kind in "fiU"
    assert read == content


class Hostile:
    def __init__(self, function: Any, *arguments: Any) -> None:
        self.call = function, arguments

    def __reduce__(self) -> Any:
        return self.call


@pytest.mark.parametrize("protocol", [0, 2, 4, 5])
@pytest.mark.parametrize("name", ["system", "eval", "getattr"])
def test_hostile_pickle_is_refused_and_not_run(name: str, protocol: int, tmp_path: Path) -> None:
    import os

    witness = tmp_path / "witness"
    calls = {
        "system": Hostile(os.system, f"touch {witness}"),
        "eval": Hostile(eval, f"open({str(witness)!r}, 'w')"),
        "getattr": Hostile(getattr, np.ndarray, "tofile"),
    }
    path = write(tmp_path / "hostile.pkl", {"split": {}, "annotations": [calls[name]]}, protocol)
    with pytest.raises(DataError, match=r"hostile\.pkl is refused: it asks for .*, and only numpy arrays") as caught:
        read_pickle(path)
    assert "\n" not in str(caught.value)
    assert not witness.exists()


def test_object_arrays_are_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "objects.pkl", np.array([{}, None], dtype=object))
    with pytest.raises(DataError, match="array of type 'O8'"):
        read_pickle(path)


@pytest.mark.parametrize("content", [b"", b"hello", b"\x80\x04", pickle.dumps({"a": np.zeros(99)})[:-40]])
def test_damaged_files_are_one_sentence(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "x.pkl").write_bytes(content)
    with pytest.raises(DataError, match=r"x\.pkl is damaged or no pickle") as caught:
        read_pickle(tmp_path / "x.pkl")
    assert "\n" not in str(caught.value)


def test_a_split_is_in_the_order_of_the_annotations(made: dict[str, Any], tmp_path: Path) -> None:
    made["split"]["xsub_train"].reverse()
    train, val = read_splits(write(tmp_path / "x.pkl", made), ("xsub_train", "xsub_val"), classes=4)
    assert [a.name for a in train] == made["split"]["xview_train"]
    assert [a.label for a in val] == [0, 1, 2, 3]
    assert np.array_equal(train[0].keypoint, made["annotations"][0]["keypoint"])


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (
            {"label": 4},
            r"S001C002P001R001A001 has the label 4; it must be a whole number from 0 to 3 \(model\.cls_head",
        ),
        ({"label": "1"}, "has the label '1'"),
        ({"keypoint": [1]}, "keypoint must be a float array"),
        ({"keypoint": np.zeros((3, 5, 25, 3))}, r"the shape \(3, 5, 25, 3\); it must be \[1 or 2, T, 25, 3\]"),
        ({"keypoint": np.zeros((1, 0, 25, 3))}, r"shape \(1, 0, 25, 3\)"),
        ({"keypoint": np.zeros((1, 5, 17, 2))}, r"shape \(1, 5, 17, 2\)"),
    ],
)
def test_a_wrong_sample_is_named(change: dict[str, Any], sentence: str, made: dict[str, Any], tmp_path: Path) -> None:
    made["annotations"][0].update(change)
    with pytest.raises(DataError, match=sentence):
        read_splits(write(tmp_path / "x.pkl", made), ("xsub_train",), classes=4)


def test_wrong_splits_and_files_are_named(made: dict[str, Any], tmp_path: Path) -> None:
    path = write(tmp_path / "x.pkl", made)
    with pytest.raises(DataError, match=r"x\.pkl: there is no split xsub_tran; did you mean xsub_train\?"):
        read_splits(path, ("xsub_tran",), 4)
    with pytest.raises(DataError, match="there is no split qqq; it has xsub_train, xview_train, xsub_val, xview_val"):
        read_splits(path, ("qqq",), 4)
    made["split"]["xsub_val"] = []
    with pytest.raises(DataError, match="the split xsub_val is empty"):
        read_splits(write(path, made), ("xsub_val",), 4)
    with pytest.raises(DataError, match="must hold a dict with the keys split and annotations"):
        read_splits(write(path, [1]), ("xsub_val",), 4)
    with pytest.raises(DataError, match=r"cannot read the data file .*away\.pkl: No such file"):
        read_splits(tmp_path / "away.pkl", ("xsub_val",), 4)


def small_config(raw: dict[str, Any], **data: Any) -> TrainConfig:
    return TrainConfig.model_validate(raw | {"data": raw["data"] | data})


def test_validation_samples_are_the_published_pipeline(raw_config: dict[str, Any], made: Any, tmp_path: Path) -> None:
    config = small_config(raw_config, val_clips=3)
    val = load_splits(config, write(tmp_path / "x.pkl", made)).val
    frames = feature(normalise(made["annotations"][10]["keypoint"]), "j")
    chosen = uniform_frames(frames.shape[1], 8, 3, np.random.RandomState(255))
    clips, label = val[7, 0]
    assert np.array_equal(clips.numpy(), to_clips(frames[:, chosen], 2, 3))
    assert label == 0


def test_training_samples_change_with_the_epoch_and_the_seed_alone(
    config: TrainConfig, made: Any, tmp_path: Path
) -> None:
    path = write(tmp_path / "x.pkl", made)
    train = load_splits(config, path).train
    first = train[0, 3][0]
    train[0, 4]
    assert torch.equal(train[0, 3][0], first)
    assert not torch.equal(train[1, 3][0], first)
    other = load_splits(config.model_copy(update={"seed": 5}), path).train
    assert not torch.equal(other[0, 3][0], first)


def test_augmentations_are_switched_by_the_config(raw_config: dict[str, Any], made: Any, tmp_path: Path) -> None:
    path = write(tmp_path / "x.pkl", made)
    plain = load_splits(small_config(raw_config, rotate=0.0), path).train[0, 0][0]
    for change in ({"rotate": 0.2}, {"rotate": 0.0, "flip": 1.0}, {"rotate": 0.0, "part_drop": 1.0}):
        assert not torch.equal(load_splits(small_config(raw_config, **change), path).train[0, 0][0], plain)


def test_batches_cover_an_epoch_once_and_can_start_in_its_middle() -> None:
    batches = EpochBatches(size=10, batch=4, seed=7)
    batches.epoch = 2
    whole = list(batches)
    assert [len(b) for b in whole] == [4, 4, 2]
    assert len(batches) == 3
    assert sorted(index for b in whole for _, index in b) == list(range(10))
    order = torch.randperm(10, generator=torch.Generator().manual_seed(9)).tolist()
    assert [key for b in whole for key in b] == [(2, index) for index in order]
    batches.start = 1
    assert list(batches) == whole[1:]


def test_workers_give_the_batches_of_the_main_process(raw_config: dict[str, Any], made: Any, tmp_path: Path) -> None:
    path = write(tmp_path / "x.pkl", made)
    both = []
    for workers in (0, 2):
        config = small_config(raw_config, workers_per_gpu=workers, videos_per_gpu=4)
        both.append(list(make_loader(load_splits(config, path).train, config.data, seed=3)))
    assert [len(labels) for _, labels in both[0]] == [4, 4, 2]
    for (clips, labels), (others, same) in zip(*both, strict=True):
        assert clips.shape == (len(labels), 1, 2, 8, 25, 3)
        assert torch.equal(clips, others)
        assert torch.equal(labels, same)


def test_synthetic_data_is_deterministic_and_in_the_ntu_format(tmp_path: Path) -> None:
    files = [tmp_path / name for name in ("a.pkl", "b.pkl", "c.pkl")]
    for path, seed in zip(files, "001", strict=True):
        assert synthetic.main(["--out", str(path), "--seed", seed, "--train", "20", "--val", "6"]) == 0
    assert files[0].read_bytes() == files[1].read_bytes()
    assert files[0].read_bytes() != files[2].read_bytes()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.pkl", "b.pkl", "c.pkl"]
    content = read_pickle(files[0])
    assert sorted(content["split"]) == ["xsub_train", "xsub_val", "xview_train", "xview_val"]
    names = [a["frame_dir"] for a in content["annotations"]]
    assert len(set(names)) == 26
    assert {len(a["keypoint"]) for a in content["annotations"]} == {1, 2}
    for a in content["annotations"]:
        assert a["keypoint"].dtype == np.float16
        assert a["keypoint"].shape[1:] == (a["total_frames"], 25, 3)
        assert 60 <= a["total_frames"] < 180
        assert int(a["frame_dir"][-3:]) == a["label"] + 1


def test_synthetic_classes_move_their_axis_to_their_side() -> None:
    for sample in synthetic.make_dataset(seed=0, classes=6, train=12, val=0)["annotations"]:
        hand = np.ptp(sample["keypoint"][0, :, 7].astype(float), axis=0)
        assert hand.argmax() == sample["label"] // 2


def test_synthetic_says_what_it_cannot_do(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").touch()
    assert synthetic.main(["--out", str(tmp_path / "file" / "x.pkl"), "--train", "1", "--val", "1"]) == 1
    assert "cannot write" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        synthetic.main(["--out", str(tmp_path / "x.pkl"), "--classes", "99"])


def test_an_unaugmented_dataset_reads_nothing_global(config: TrainConfig, made: Any, tmp_path: Path) -> None:
    samples = load_splits(config, write(tmp_path / "x.pkl", made)).val.samples
    state = np.random.get_state()[1].copy()
    SkeletonDataset(samples, config, clips=2)[0, 0]
    assert np.array_equal(np.random.get_state()[1], state)
