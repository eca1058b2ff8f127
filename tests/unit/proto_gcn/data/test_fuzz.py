"""Any content of a data file is read, or refused with a DataError of one sentence."""

import copy
import pickle
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from devtools.testbed.skeletons import coco_file, kinetics_file, small_config, write
from proto_gcn.config.train import TrainConfig
from proto_gcn.data import synthetic
from proto_gcn.data.dataset import EpochSample, load_dataset, load_splits
from proto_gcn.errors import DataError

DAMAGED = 150  # files of each kind
ODD: list[Any] = [
    *(
        None,
        True,
        -1,
        0,
        2**70,
        1.5,
        float("nan"),
        "",
        "\ud800",
        "x\ny",
        b"x",
        [],
        {},
        (),
        {1},
        [[]],
        (1, 2),
        (-1, 0),
    ),
    *(
        np.float64(3),
        np.zeros(0),
        np.zeros((2, 0, 25, 3)),
        np.zeros((0, 17, 3)),
        np.array("x"),
        np.array(1.0),
    ),
    *(np.full((1, 3, 25, 3), np.nan), np.full((1, 3, 25, 3), 1e300), np.full((1, 3, 25, 3), 1e-12)),
    *(
        np.ones((1, 3, 25, 3), int),
        np.ones((1, 3, 25, 3), complex),
        np.ones((1, 3, 17, 2)),
        np.ones((6, 17, 3)),
    ),
    *(
        np.zeros(6, np.uint64),
        np.arange(6)[::-1],
        np.full(6, -1),
        np.ones(6, bool),
        np.ones((6, 1), bool),
        np.ones(6),
    ),
    *({0.5: 2}, {0.5: "x"}, {0.5: 10**400}, np.array([9, 9]), [True] * 6),
]


def solid_file(folder: Path) -> Path:
    content = synthetic.make_dataset(seed=1, classes=4, train=3, val=2)
    for raw in content["annotations"]:
        raw["keypoint"] = raw["keypoint"][:, :3]
    return write(folder / "x.pkl", content)


def flat_file(folder: Path) -> Path:
    return write(folder / "x.pkl", coco_file(compressed=False))


def boxed(content: dict[str, Any]) -> dict[str, Any]:
    for raw in content["annotations"]:
        raw |= {"box_score": np.full(6, 0.9), "valid": {0.5: 6}}
    return content


def packed_file(folder: Path) -> Path:
    return write(folder / "x.pkl", boxed(coco_file(compressed=True)))


def separate_file(folder: Path) -> Path:
    return kinetics_file(folder, boxed(coco_file(compressed=True)))


def old_file(folder: Path) -> Path:
    return kinetics_file(folder, boxed(coco_file(compressed=True)), protocol=2)


KINDS: dict[str, tuple[Callable[[Path], Path], dict[str, Any]]] = {
    "solid": (solid_file, {"rotate": 0.2, "align_spine": True}),
    "flat": (flat_file, {}),
    "packed": (packed_file, {"valid_ratio": 0.5}),
    "separate": (separate_file, {"kpfiles": "kp", "valid_ratio": 0.5}),
    "separate, old protocol": (old_file, {"kpfiles": "kp"}),
}


@pytest.fixture(params=KINDS)
def kind(
    request: pytest.FixtureRequest, raw_config: dict[str, Any]
) -> tuple[Callable[[Path], Path], TrainConfig]:
    make, data = KINDS[request.param]
    if make is not solid_file:
        raw_config = request.getfixturevalue("coco_config")
    return make, small_config(raw_config, **data)


def read_or_refused(config: TrainConfig, path: Path) -> None:
    """Read every sample for training and for scoring; an error must be one printable line."""
    sentence = ""
    try:
        for split in (
            *load_splits(config, path),
            load_dataset(config, path, None, clips=2, labelled=False),
        ):
            for sample in range(len(split)):
                clips, _ = split[EpochSample(0, sample, sample)]
                assert clips.isfinite().all()
    except DataError as error:
        sentence = str(error)
    assert sentence.isprintable()


def damaged(content: bytes, generator: random.Random) -> bytes:
    """Change, remove or insert a few bytes, and sometimes cut off the end."""
    found = bytearray(content)
    for _ in range(generator.choice((1, 1, 2, 5, 20))):
        at, more = generator.randrange(len(found)), generator.choice((0, 0, 1, 3))
        found[at : at + generator.choice((1, 1, 0, 4))] = bytes(
            generator.randrange(256) for _ in range(more + 1)
        )
    return bytes(found[: generator.randrange(len(found))] if generator.random() < 0.1 else found)


@pytest.mark.filterwarnings("error")
def test_a_file_with_wrong_bytes(
    kind: tuple[Callable[[Path], Path], TrainConfig], tmp_path: Path
) -> None:
    make, config = kind
    path, generator = make(tmp_path), random.Random(0)
    read_or_refused(config, path)
    files = [path, *(tmp_path / "kp").glob("*.pkl")]
    whole = {file: file.read_bytes() for file in files}
    for _ in range(DAMAGED):
        chosen = generator.choice(files)
        chosen.write_bytes(damaged(whole[chosen], generator))
        read_or_refused(config, path)
        chosen.write_bytes(whole[chosen])


@pytest.mark.filterwarnings("error")
def test_a_file_with_a_wrong_value(
    kind: tuple[Callable[[Path], Path], TrainConfig], tmp_path: Path
) -> None:
    make, config = kind
    path = make(tmp_path)
    for file in (path, *(tmp_path / "kp").glob("*.pkl")):
        whole = file.read_bytes()
        for content in with_a_wrong_value(pickle.loads(whole)):
            write(file, content)
            read_or_refused(config, path)
        file.write_bytes(whole)


def with_a_wrong_value(content: dict[str, Any]) -> Iterator[Any]:
    """Yield the content with each value replaced by an odd one, or removed.

    The names in a split and the annotations after the first keep their values.
    """
    for way in ways(content):
        for odd in ("missing", *ODD):
            changed = copy.deepcopy(content)
            holder = changed
            for key in way[:-1]:
                holder = holder[key]
            if isinstance(odd, str) and odd == "missing":
                del holder[way[-1]]
            else:
                holder[way[-1]] = odd
            yield changed


def ways(content: Any) -> Iterator[tuple[Any, ...]]:
    """Yield the path of keys to each value."""
    found = content.items() if isinstance(content, dict) else enumerate(content[:1])
    for key, value in found:
        yield (key,)
        if isinstance(value, dict | list):
            yield from ((key, *way) for way in ways(value))
