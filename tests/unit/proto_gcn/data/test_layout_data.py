"""The data of a custom joint layout, stored and generated."""

import pickle
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from jsonschema import Draft202012Validator

from devtools.reference.layouts import MIRROR, PARENTS
from proto_gcn.config.file import load_config
from proto_gcn.config.train import TrainConfig, json_schema
from proto_gcn.data import synthetic
from proto_gcn.data.dataset import EpochSample, load_splits
from proto_gcn.data.files.annotations import keypoints
from proto_gcn.data.frame_sampling import Generators
from proto_gcn.data.pipeline import make_pipeline
from proto_gcn.errors import DataError
from proto_gcn.skeleton import COCO


def test_the_documented_example_of_a_layout_works(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = (Path(synthetic.__file__).parents[2] / "docs" / "trainer-data.md").read_text()
    yaml_block, python_block = (
        text.partition(f"```{kind}\n")[2].partition("```")[0] for kind in ("yaml", "python")
    )
    monkeypatch.chdir(tmp_path)
    Path("hand.yaml").write_text(yaml_block)
    config = load_config(Path("hand.yaml"))
    depths = config.model.backbone.graph_cfg.skeleton.depths
    assert [joint for joint, depth in enumerate(depths) if depth == 4] == [
        4,
        8,
        12,
        16,
        20,
    ]  # the finger tips
    assert Draft202012Validator(json_schema()).is_valid(yaml.safe_load(yaml_block))
    exec(python_block, {"np": np, "pickle": pickle, "Path": Path})
    assert [len(half) for half in load_splits(config, Path("hands.pkl"))] == [1, 1]
    assert (
        synthetic.main(["--config", "hand.yaml", "--out", "made.pkl", "--train", "6", "--val", "6"])
        == 0
    )
    assert [len(half) for half in load_splits(config, Path("made.pkl"))] == [6, 6]


def piped(raw: dict[str, Any], sample: dict[str, Any], clips: int | None = 1) -> Any:
    config = TrainConfig.model_validate(raw)
    pipeline = make_pipeline(config, clips)
    out = np.zeros(pipeline.shape, np.float32)
    pipeline.fill(
        out,
        pipeline.stored(keypoints(sample, pipeline.skeleton)),
        100,
        Generators(python=random.Random(0)),
    )
    return out


def walk(persons: int, values: int = 3) -> Any:
    """Return 8 frames, so that a clip of 8 has each of them once."""
    return 1 + np.random.default_rng(0).random((persons, 8, 7, values), np.float32)


@pytest.mark.parametrize(
    ("stream", "subtracted"), [("j", None), ("b", PARENTS), ("k", [0, 1, 0, 3, 0, 5, 0])]
)
def test_3d_is_centred_on_the_centre_joint(
    stream: str, subtracted: list[int] | None, own: Callable[..., dict[str, Any]]
) -> None:
    keypoint = walk(2)
    wanted = keypoint - keypoint[0, 0, 0]
    wanted = wanted if subtracted is None else wanted - wanted[:, :, subtracted]
    found = piped(own() | {"modality": stream}, {"keypoint": keypoint})
    assert np.allclose(found[0], wanted, atol=1e-6)


def test_the_persons_seen_longest_come_first_however_many_there_are(
    own: Callable[..., dict[str, Any]],
) -> None:
    keypoint = walk(4)
    keypoint[0, 2:] = keypoint[1, 3:] = keypoint[3, 7:] = 0  # seen in 2, 3, 8 and 7 frames
    found = piped(own(num_person=3), {"keypoint": keypoint})[0]
    wanted = np.where(keypoint.any(-1, keepdims=True), keypoint - keypoint[2, 0, 0], 0)
    assert np.allclose(found, wanted[[2, 3, 1]], atol=1e-6)


def test_a_3d_flip_exchanges_the_sides_of_the_layout(own: Callable[..., dict[str, Any]]) -> None:
    keypoint = walk(1)
    straight, flipped = (
        piped(own(flip=p, mirror_flip=True), {"keypoint": keypoint}, clips=None) for p in (0.0, 1.0)
    )
    assert np.array_equal(flipped, straight[..., MIRROR, :] * np.float32([-1, 1, 1]))


def test_a_2d_flip_mirrors_the_image_and_exchanges_the_sides(
    own: Callable[..., dict[str, Any]],
) -> None:
    sample = {"keypoint": walk(1, 2), "keypoint_score": walk(1, 1)[..., 0]}
    straight, flipped = (
        piped(own({"dimensions": 2}, flip=p), sample, clips=None) for p in (0.0, 1.0)
    )
    mirrored = straight[:, :1].take(MIRROR, axis=3)
    mirrored[..., 0] = 100 - mirrored[..., 0]
    assert np.array_equal(flipped[:, :1], mirrored)


def test_2d_keeps_the_scores_and_adds_no_joints(own: Callable[..., dict[str, Any]]) -> None:
    flat = walk(2, 2)
    sample = {"keypoint": flat, "keypoint_score": walk(2, 1)[..., 0] / 2}
    found = piped(own({"dimensions": 2}) | {"modality": "b"}, sample)[0]
    assert np.allclose(found[..., :2], flat - flat[:, :, PARENTS], atol=1e-6)
    scores = sample["keypoint_score"]
    assert np.allclose(found[..., 2], (scores + scores[:, :, PARENTS]) / 2, atol=1e-6)


def test_compressed_2d_may_have_any_layout(own: Callable[..., dict[str, Any]]) -> None:
    detections = np.ascontiguousarray(walk(1)[0])
    sample = {"frame_dir": "x", "keypoint": detections, "frame_inds": np.arange(8)}
    assert np.allclose(piped(own({"dimensions": 2}), sample)[0, 0], detections, atol=1e-2)
    with pytest.raises(
        DataError, match=r"sample x: keypoint must be a float array \[detections, 7, 3\]"
    ):
        piped(own({"dimensions": 2}), sample | {"keypoint": detections[:, :6]})


@pytest.mark.parametrize(("dimensions", "wanted"), [(3, "[M, T, 7, 3]"), (2, "[M, T, 7, 2]")])
def test_a_sample_of_another_layout_is_named(
    dimensions: int, wanted: str, own: Callable[..., dict[str, Any]]
) -> None:
    with pytest.raises(DataError) as caught:
        piped(
            own({"dimensions": dimensions}),
            {"frame_dir": "x", "keypoint": np.ones((1, 8, 25, 3), np.float32)},
        )
    assert (
        str(caught.value) == f"sample x: keypoint has the shape (1, 8, 25, 3); it must be {wanted}"
    )


# -- generated --------------------------------------------------------------------------------


@pytest.mark.parametrize("dimensions", [2, 3])
def test_generated_data_of_the_layout(
    dimensions: int, own: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    raw = own({"dimensions": dimensions}, ann_file=str(tmp_path / "x.pkl"))
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(raw))
    chosen = [
        "--config",
        str(tmp_path / "mine.yaml"),
        "--classes",
        "4",
        "--train",
        "8",
        "--val",
        "4",
    ]
    assert synthetic.main(["--out", str(tmp_path / "x.pkl"), *chosen]) == 0
    splits = load_splits(TrainConfig.model_validate(raw), tmp_path / "x.pkl")
    clip, label = splits.train[EpochSample(0, 0, 3)]
    assert (clip.shape, int(label)) == ((1, 2, 8, 7, 3), 3)


def test_generated_data_of_the_other_published_layout() -> None:
    made = synthetic.make_dataset(0, 4, 4, 0, COCO)["annotations"][0]
    assert made["keypoint"].shape[2:] == (17, 2)
    assert keypoints(made, COCO).shape[2:] == (17, 3)


def test_a_config_that_cannot_be_read_is_reported(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        synthetic.main(
            ["--out", str(tmp_path / "x.pkl"), "--config", str(tmp_path / "missing.yaml")]
        )
    assert "missing.yaml: No such file" in capsys.readouterr().err
