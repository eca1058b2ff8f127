"""Generate a data set whose classes a small network can learn, in the NTU format or another layout.

`python -m proto_gcn.data.synthetic --out FILE [--config FILE --seed 0 --classes 6 --train 240
--val 90]`

A class is (limb, cycles per sequence, axis, sign): the limb swings to one side of its rest pose and
back. NTU's first six classes move both arms for two cycles along x, y or z, with either sign. The
same arguments produce the same bytes.
"""

import argparse
import itertools
import pickle
import sys
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from proto_gcn.atomic_file import write_atomically
from proto_gcn.config.file import load_config
from proto_gcn.data.synthetic_body import Body, Limb, body_of
from proto_gcn.errors import ConfigError
from proto_gcn.skeleton import NTU, Skeleton

SUBJECTS = (1, 2, 4, 5, 8, 9), (3, 6, 7, 10, 11, 12)  # X-Sub: training, validation
CAMERAS = 2, 1  # X-View: training, validation
IMAGE = 480, 640  # height and width of 2-D data in pixels
PIXELS = 200  # per metre


class Movement(NamedTuple):
    """All samples of one class have one movement."""

    limb: Limb
    cycles: int
    axis: int
    sign: int


def movements(skeleton: Skeleton) -> list[Movement]:
    """Return all classes that a layout can have."""
    limbs, axes = body_of(skeleton).limbs, range(skeleton.dimensions)
    return [Movement(*m) for m in itertools.product(limbs, (2, 7), axes, (1, -1))]


def make_dataset(
    seed: int, classes: int, train: int, val: int, skeleton: Skeleton = NTU
) -> dict[str, Any]:
    """Return the content of a data file: `split` (xsub and xview, train and val), `annotations`."""
    generator = np.random.default_rng(seed)
    annotations: list[dict[str, Any]] = []
    split: dict[str, list[str]] = {}
    for half, (name, count) in enumerate((("train", train), ("val", val))):
        made = _samples(half, count, classes, skeleton, generator)
        annotations += made
        for kind in ("xsub", "xview"):
            split[f"{kind}_{name}"] = [sample["frame_dir"] for sample in made]
    return {"split": split, "annotations": annotations}


def _samples(
    half: int, count: int, classes: int, skeleton: Skeleton, generator: np.random.Generator
) -> list[dict[str, Any]]:
    known, body = movements(skeleton), body_of(skeleton)
    made = []
    for number in range(count):
        label = number % classes
        persons = _persons(known[label], body, generator)
        made.append(_named(number, label, half) | _in_file(persons, skeleton, generator))
    return made


def _named(number: int, label: int, half: int) -> dict[str, Any]:
    subject = SUBJECTS[half][number % len(SUBJECTS[half])]
    repetition, setup = number % 999 + 1, number // 999 + 1
    place = f"S{setup:03}C{CAMERAS[half]:03}P{subject:03}"
    return {"frame_dir": f"{place}R{repetition:03}A{label + 1:03}", "label": label}


def _in_file(
    persons: NDArray[np.float64], skeleton: Skeleton, generator: np.random.Generator
) -> dict[str, Any]:
    """Convert [M, T, V, 3] in metres to the format of that layout.

    3-D data stay as they are; 2-D data are in pixels, seen from the front, with scores.
    """
    frames = {"total_frames": persons.shape[1]}
    if skeleton.dimensions == 3:
        return {"keypoint": persons.astype(np.float16)} | frames
    height, width = IMAGE
    pixels = persons[:, :, : skeleton.stored, :2] * (PIXELS, -PIXELS) + (width / 2, height / 2)
    score = generator.uniform(0.6, 1, pixels.shape[:3]).astype(np.float16)
    flat = {"keypoint": pixels.astype(np.float16), "keypoint_score": score, "img_shape": IMAGE}
    return flat | frames


def _persons(movement: Movement, body: Body, generator: np.random.Generator) -> NDArray[np.float64]:
    """Return [M, T, V, 3]: one person who moves and, in a third of the samples, one who stands."""
    frames = int(generator.integers(60, 180))
    persons = [_moving(movement, body, frames, generator)]
    if generator.random() < 1 / 3:
        persons.append(_standing(body, frames, generator))
    return np.stack(persons)


def _moving(
    movement: Movement, body: Body, frames: int, generator: np.random.Generator
) -> NDArray[np.float64]:
    moving = _standing(body, frames, generator)
    amplitude, phase = generator.uniform(0.15, 0.25), generator.uniform(0, 2 * np.pi)
    swing = 1 - np.cos(2 * np.pi * movement.cycles * np.arange(frames) / frames + phase)
    for joint, share in movement.limb.items():
        moving[:, joint, movement.axis] += share * movement.sign * amplitude * swing
    return moving


def _standing(body: Body, frames: int, generator: np.random.Generator) -> NDArray[np.float64]:
    """Return [T, V, 3]: a person who stands and sways a little, with 1 cm of noise."""
    pose = body.pose * generator.uniform(0.93, 1.07)
    place = generator.uniform((-0.5, -0.2, 2.5), (0.5, 0.2, 3.5))
    drift = np.linspace(0, 1, frames)[:, None] * generator.normal(0, 0.05, 3)
    return pose + (place + drift)[:, None] + generator.normal(0, 0.01, (frames, *pose.shape))


def main(arguments: list[str] | None = None) -> int:
    """Write the data file and return the exit code."""
    parser = _make_parser()
    options = parser.parse_args(arguments)
    try:
        skeleton = _skeleton(options.config)
    except ConfigError as error:
        parser.error(str(error))
    most = len(movements(skeleton))
    if not 1 <= options.classes <= most:
        parser.error(f"--classes must be from 1 to {most}")
    content = make_dataset(options.seed, options.classes, options.train, options.val, skeleton)
    return _write(options, content)


def _make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m proto_gcn.data.synthetic", description=str(__doc__).splitlines()[0]
    )
    add = parser.add_argument
    add("--out", type=Path, required=True, help="file to write, e.g. /data/datasets/demo.pkl")
    add("--config", type=Path, help="training config with the joint layout (default: NTU's)")
    add("--seed", type=int, default=0, help="seed of the random numbers (default: 0)")
    add("--classes", type=int, default=6, help="number of classes (default: 6; NTU: at most 48)")
    add("--train", type=int, default=240, help="number of training samples (default: 240)")
    add("--val", type=int, default=90, help="number of validation samples (default: 90)")
    return parser


def _skeleton(config: Path | None) -> Skeleton:
    return NTU if config is None else load_config(config).model.backbone.graph_cfg.skeleton


def _write(options: argparse.Namespace, content: dict[str, Any]) -> int:
    try:
        options.out.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(options.out, pickle.dumps(content, protocol=4))
    except OSError as error:
        print(f"cannot write {options.out}: {error.strerror}", file=sys.stderr)
        return 1
    counts = f"{options.train} + {options.val} samples of {options.classes} classes"
    print(f"wrote {options.out}: {counts}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
