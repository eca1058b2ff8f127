"""Makes a data set in the NTU format, or in that of another joint layout, whose classes a small network can learn.

`python -m proto_gcn.data.synthetic --out FILE [--config FILE --seed 0 --classes 6 --train 240 --val 90]`

A class is (limb, cycles per sequence, axis, sign): the limb swings to one side of its rest pose and back. NTU's first
six are both arms, two cycles, axis x/y/z and both signs. The same arguments give the same bytes.
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

SUBJECTS = (1, 2, 4, 5, 8, 9), (3, 6, 7, 10, 11, 12)  # of the X-Sub training and validation halves
CAMERAS = 2, 1  # of the X-View halves
IMAGE = 480, 640  # height and width in pixels of 2-D data
PIXELS = 200  # for a metre


class Movement(NamedTuple):
    """A class."""

    limb: Limb
    cycles: int
    axis: int
    sign: int


def movements(skeleton: Skeleton) -> list[Movement]:
    """All classes that a layout can have."""
    limbs, axes = body_of(skeleton).limbs, range(skeleton.dimensions)
    return [Movement(*m) for m in itertools.product(limbs, (2, 7), axes, (1, -1))]


def make_dataset(
    seed: int, classes: int, train: int, val: int, skeleton: Skeleton = NTU
) -> dict[str, Any]:
    """The content of a data file: `split` (xsub and xview, train and val) and `annotations`."""
    generator, known, body = np.random.default_rng(seed), movements(skeleton), body_of(skeleton)
    annotations: list[dict[str, Any]] = []
    split: dict[str, list[str]] = {}
    for half, (name, count) in enumerate((("train", train), ("val", val))):
        made = []
        for i in range(count):
            persons = _persons(known[i % classes], body, generator)
            made.append(_named(i, i % classes, half) | _in_file(persons, skeleton, generator))
        annotations += made
        split[f"xsub_{name}"] = [sample["frame_dir"] for sample in made]
        split[f"xview_{name}"] = [sample["frame_dir"] for sample in made]
    return {"split": split, "annotations": annotations}


def _named(number: int, label: int, half: int) -> dict[str, Any]:
    subject = SUBJECTS[half][number % len(SUBJECTS[half])]
    repetition, setup = number % 999 + 1, number // 999 + 1
    return {
        "frame_dir": f"S{setup:03}C{CAMERAS[half]:03}P{subject:03}R{repetition:03}A{label + 1:03}",
        "label": label,
    }


def _in_file(
    persons: NDArray[np.float64], skeleton: Skeleton, generator: np.random.Generator
) -> dict[str, Any]:
    """[M, T, V, 3] in metres as a file of that layout has it: 3-D as it is, 2-D in pixels, seen from the front."""
    frames = {"total_frames": persons.shape[1]}
    if skeleton.dimensions == 3:
        return {"keypoint": persons.astype(np.float16)} | frames
    height, width = IMAGE
    pixels = persons[:, :, : skeleton.stored, :2] * (PIXELS, -PIXELS) + (width / 2, height / 2)
    score = generator.uniform(0.6, 1, pixels.shape[:3]).astype(np.float16)
    return {
        "keypoint": pixels.astype(np.float16),
        "keypoint_score": score,
        "img_shape": IMAGE,
    } | frames


def _persons(movement: Movement, body: Body, generator: np.random.Generator) -> NDArray[np.float64]:
    """[M, T, V, 3]: who moves and, in one of three samples, who stands beside."""
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
    """[T, V, 3]: a person who stands, sways a little and is measured with 1 cm of noise."""
    pose = body.pose * generator.uniform(0.93, 1.07)
    place = generator.uniform((-0.5, -0.2, 2.5), (0.5, 0.2, 3.5))
    drift = np.linspace(0, 1, frames)[:, None] * generator.normal(0, 0.05, 3)
    return pose + (place + drift)[:, None] + generator.normal(0, 0.01, (frames, *pose.shape))


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m proto_gcn.data.synthetic", description=str(__doc__).splitlines()[0]
    )
    parser.add_argument(
        "--out", type=Path, required=True, help="the file to write, e.g. /data/datasets/demo.pkl"
    )
    parser.add_argument(
        "--config",
        type=Path,
        help="a training config, whose joint layout is taken instead of NTU's",
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--classes", type=int, default=6, help="48 of NTU's layout at most")
    parser.add_argument("--train", type=int, default=240, help="number of training samples")
    parser.add_argument("--val", type=int, default=90, help="number of validation samples")
    options = parser.parse_args(arguments)
    try:
        skeleton = (
            load_config(options.config).model.backbone.graph_cfg.skeleton if options.config else NTU
        )
    except ConfigError as error:
        parser.error(str(error))
    if not 1 <= options.classes <= len(movements(skeleton)):
        parser.error(f"--classes must be from 1 to {len(movements(skeleton))}")
    content = make_dataset(options.seed, options.classes, options.train, options.val, skeleton)
    try:
        options.out.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(options.out, pickle.dumps(content, protocol=4))
    except OSError as error:
        print(f"cannot write {options.out}: {error.strerror}", file=sys.stderr)
        return 1
    print(
        f"wrote {options.out}: {options.train} + {options.val} samples of {options.classes} classes"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
