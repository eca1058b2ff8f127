"""This module makes keypoints and data files for tests and benchmarks."""

import pickle
from pathlib import Path
from typing import Any

import numpy as np

from proto_gcn.config.train import TrainConfig


def body(frames: int, persons: int = 1, dtype: type = np.float32, joints: int = 25) -> Any:
    """Return keypoints: joint v of person m in frame t is at (1 + v, 10 t, 100 (m + 1))."""
    keypoint: Any = np.zeros((persons, frames, joints, 3), dtype)
    keypoint[..., 0] = 1 + np.arange(joints)
    keypoint[..., 1] = 10 * np.arange(frames)[:, None]
    keypoint[..., 2] = 100 * (1 + np.arange(persons))[:, None, None]
    return keypoint


def write(path: Path, content: object, protocol: int = 4) -> Path:
    """Pickle the content into a file and return its path."""
    path.write_bytes(pickle.dumps(content, protocol))
    return path


def small_config(raw: dict[str, Any], **data: Any) -> TrainConfig:
    """Return the config with other keys in the section data."""
    return TrainConfig.model_validate(raw | {"data": raw["data"] | data})


def coco_file(compressed: bool) -> dict[str, Any]:
    """Return a file of three samples, each with 6 detections: two persons in 3 frames."""
    generator = np.random.default_rng(0)
    annotations = [_coco_sample(number, compressed, generator) for number in range(3)]
    return {"split": {"train": ["v0", "v1"], "val": ["v2"]}, "annotations": annotations}


def _coco_sample(number: int, compressed: bool, generator: np.random.Generator) -> dict[str, Any]:
    frames = np.array([0, 0, 2, 2, 5, 5], np.int16)
    keypoint = (100 * generator.random((6, 17, 3))).astype(np.float16)
    raw = {"frame_dir": f"v{number}", "label": number, "img_shape": (240, 320), "total_frames": 6}
    if compressed:
        return raw | {"keypoint": keypoint, "frame_inds": frames}
    dense = keypoint.reshape(3, 2, 17, 3).swapaxes(0, 1)
    return raw | {"keypoint": dense[..., :2].copy(), "keypoint_score": dense[..., 2].copy()}


def kinetics_file(folder: Path, content: dict[str, Any], protocol: int = 4) -> Path:
    """Write the published form of Kinetics: separate files hold the keypoints of several videos.

    Each annotation names its file.
    """
    (folder / "kp").mkdir(exist_ok=True)
    packs: dict[str, dict[str, Any]] = {"a.pkl": {}, "b.pkl": {}}
    for number, raw in enumerate(content["annotations"]):
        file = "ab"[number % 2] + ".pkl"
        packs[file][raw["frame_dir"]] = {key: raw.pop(key) for key in ("keypoint", "frame_inds")}
        raw["raw_file"] = f"data/somewhere/{file}"
    for file, pack in packs.items():
        write(folder / "kp" / file, pack, protocol)
    return write(folder / "k.pkl", content)
