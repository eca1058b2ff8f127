"""Makes a data set in the NTU format whose classes a small network can learn.

`python -m proto_gcn.data.synthetic --out FILE [--seed 0 --classes 6 --train 240 --val 90]`

A class is (limb, cycles per sequence, axis, sign): the limb swings to one side of its rest pose and back.
The first six are both arms, two cycles, axis x/y/z and both signs. The same arguments give the same bytes.
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
from proto_gcn.data.transforms import LEFT_RIGHT

# Rest pose in metres (Kinect v2 joints, x to the subject's left, y up), the centre line and the left side.
CENTRE = {0: (0, 0, 0), 1: (0, 0.30, 0), 2: (0, 0.62, 0), 3: (0, 0.75, 0), 20: (0, 0.52, 0)}
LEFT = {
    **{4: (0.18, 0.48, 0), 5: (0.30, 0.25, 0), 6: (0.34, 0.02, 0), 7: (0.35, -0.05, 0)},
    **{12: (0.09, -0.03, 0), 13: (0.11, -0.43, 0), 14: (0.12, -0.82, 0), 15: (0.13, -0.86, -0.10)},
    **{21: (0.36, -0.12, 0), 22: (0.31, -0.07, -0.03)},
}
ARM, LEG = {5: 0.5, 6: 0.9, 7: 1.0, 21: 1.0, 22: 1.0}, {13: 0.5, 14: 1.0, 15: 1.0}  # joint -> share of the movement
SUBJECTS = (1, 2, 4, 5, 8, 9), (3, 6, 7, 10, 11, 12)  # of the X-Sub training and validation halves
CAMERAS = 2, 1  # of the X-View halves


def _mirrored(limb: dict[int, float]) -> dict[int, float]:
    return {LEFT_RIGHT[joint]: share for joint, share in limb.items()}


LIMBS = [ARM | _mirrored(ARM), LEG | _mirrored(LEG), ARM, _mirrored(ARM), LEG, _mirrored(LEG)]


class Movement(NamedTuple):
    """A class."""

    limb: dict[int, float]
    cycles: int
    axis: int
    sign: int


MOVEMENTS = [Movement(*m) for m in itertools.product(LIMBS, (2, 7), (0, 1, 2), (1, -1))]


def rest_pose() -> NDArray[np.float64]:
    """[25, 3] in metres."""
    pose = np.zeros((25, 3))
    for joint, place in {**CENTRE, **LEFT}.items():
        pose[joint] = place
    for joint, (x, y, z) in LEFT.items():
        pose[LEFT_RIGHT[joint]] = -x, y, z
    return pose


def make_dataset(seed: int, classes: int, train: int, val: int) -> dict[str, Any]:
    """The content of an NTU file: `split` (xsub and xview, train and val) and `annotations`."""
    generator = np.random.default_rng(seed)
    annotations: list[dict[str, Any]] = []
    split: dict[str, list[str]] = {}
    for half, (name, count) in enumerate((("train", train), ("val", val))):
        made = [_sample(i, i % classes, half, generator) for i in range(count)]
        annotations += made
        split[f"xsub_{name}"] = [sample["frame_dir"] for sample in made]
        split[f"xview_{name}"] = [sample["frame_dir"] for sample in made]
    return {"split": split, "annotations": annotations}


def _sample(number: int, label: int, half: int, generator: np.random.Generator) -> dict[str, Any]:
    frames = int(generator.integers(60, 180))
    persons = [_moving_body(MOVEMENTS[label], frames, generator)]
    if generator.random() < 1 / 3:
        persons.append(_body(frames, generator))
    subject = SUBJECTS[half][number % len(SUBJECTS[half])]
    repetition, setup = number % 999 + 1, number // 999 + 1
    return {
        "frame_dir": f"S{setup:03}C{CAMERAS[half]:03}P{subject:03}R{repetition:03}A{label + 1:03}",
        "label": label,
        "keypoint": np.stack(persons).astype(np.float16),
        "total_frames": frames,
    }


def _moving_body(movement: Movement, frames: int, generator: np.random.Generator) -> NDArray[np.float64]:
    body = _body(frames, generator)
    amplitude, phase = generator.uniform(0.15, 0.25), generator.uniform(0, 2 * np.pi)
    swing = 1 - np.cos(2 * np.pi * movement.cycles * np.arange(frames) / frames + phase)
    for joint, share in movement.limb.items():
        body[:, joint, movement.axis] += share * movement.sign * amplitude * swing
    return body


def _body(frames: int, generator: np.random.Generator) -> NDArray[np.float64]:
    """[T, 25, 3]: a person who stands, sways a little and is measured with 1 cm of noise."""
    pose = rest_pose() * generator.uniform(0.93, 1.07)
    place = generator.uniform((-0.5, -0.2, 2.5), (0.5, 0.2, 3.5))
    drift = np.linspace(0, 1, frames)[:, None] * generator.normal(0, 0.05, 3)
    return pose + (place + drift)[:, None] + generator.normal(0, 0.01, (frames, 25, 3))


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m proto_gcn.data.synthetic", description=str(__doc__).splitlines()[0]
    )
    parser.add_argument("--out", type=Path, required=True, help="the file to write, e.g. /data/datasets/demo.pkl")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--classes", type=int, default=6, help=f"1 to {len(MOVEMENTS)}")
    parser.add_argument("--train", type=int, default=240, help="number of training samples")
    parser.add_argument("--val", type=int, default=90, help="number of validation samples")
    options = parser.parse_args(arguments)
    if not 1 <= options.classes <= len(MOVEMENTS):
        parser.error(f"--classes must be from 1 to {len(MOVEMENTS)}")
    content = make_dataset(options.seed, options.classes, options.train, options.val)
    try:
        options.out.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(options.out, pickle.dumps(content, protocol=4))
    except OSError as error:
        print(f"cannot write {options.out}: {error.strerror}", file=sys.stderr)
        return 1
    print(f"wrote {options.out}: {options.train} + {options.val} samples of {options.classes} classes")
    return 0


if __name__ == "__main__":
    sys.exit(main())
