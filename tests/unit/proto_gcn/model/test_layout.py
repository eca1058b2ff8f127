"""A joint layout of one's own: the tree, and its keys in the config."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from jsonschema import Draft202012Validator

from devtools.reference.layouts import MIRROR, PARENTS, SPIDER
from proto_gcn.config.file import load_config
from proto_gcn.config.train import GraphConfig, TrainConfig, json_schema
from proto_gcn.errors import ConfigError
from proto_gcn.model.graph import initial_adjacency
from proto_gcn.skeleton import COCO, NTU, Skeleton

# -- the tree ---


def test_the_streams_of_the_published_layouts_are_the_published_ones() -> None:
    """The published code (github.com/firework8/ProtoGCN) has these."""
    ntu_b = (
        1,
        20,
        20,
        2,
        20,
        4,
        5,
        6,
        20,
        8,
        9,
        10,
        0,
        12,
        13,
        14,
        0,
        16,
        17,
        18,
        20,
        22,
        7,
        24,
        11,
    )
    ntu_k = (20, 1, 2, 20, 4, 20, 4, 5, 8, 20, 8, 9, 1, 0, 12, 13, 1, 0, 16, 17, 20, 7, 6, 11, 10)
    coco_k = (0, 19, 19, 0, 0, 5, 6, 19, 19, 5, 6, 18, 18, 17, 17, 11, 12, 19, 18, 19)
    assert (NTU.bone_parents, NTU.k_parents) == (ntu_b, ntu_k)
    assert (COCO.bone_parents, COCO.k_parents) == (COCO.parents, coco_k)
    assert (NTU.centre, NTU.origin, NTU.stored, COCO.centre, COCO.stored) == (20, 1, 25, 19, 17)


def test_a_layout_of_ones_own_follows_from_its_parents() -> None:
    skeleton = GraphConfig(layout="custom", parents=PARENTS).skeleton
    assert (skeleton.joints, skeleton.stored, skeleton.centre, skeleton.origin) == (7, 7, 0, 0)
    assert skeleton.k_parents == (0, 1, 0, 3, 0, 5, 0)
    assert skeleton.depths == [0, 1, 2, 1, 2, 1, 2]
    assert skeleton.edges == [(1, 0), (2, 1), (3, 0), (4, 3), (5, 0), (6, 5)]


def test_a_drawing_is_rings_around_the_centre() -> None:
    places = np.array(Skeleton(tuple(PARENTS)).drawing())
    assert np.allclose(np.hypot(*places.T), [0, 0.5, 1, 0.5, 1, 0.5, 1])
    assert np.allclose(
        2 * places[[1, 3, 5]], places[[2, 4, 6]]
    )  # a chain is a straight line outwards
    spider = Skeleton(tuple(SPIDER)).drawing()
    assert len({(round(x, 6), round(y, 6)) for x, y in spider}) == len(SPIDER)


@pytest.mark.parametrize(
    "graph", [{"layout": "coco_new"}, {"layout": "custom", "parents": PARENTS}]
)
def test_spatial_matrices_of_any_layout(graph: dict[str, Any]) -> None:
    config = GraphConfig.model_validate(graph | {"mode": "spatial", "num_filter": 3})
    own, inward, outward = initial_adjacency(config)
    skeleton = config.skeleton
    assert torch.equal(own, torch.eye(skeleton.joints))
    assert {(i, j) for j, i in inward.nonzero().tolist()} == set(skeleton.edges)
    assert {(j, i) for j, i in outward.nonzero().tolist()} == set(skeleton.edges)
    assert torch.allclose(
        outward.sum(0), torch.tensor([float(v in skeleton.parents) for v in range(skeleton.joints)])
    )


# -- the config ---

GRAPH = "model.backbone.graph_cfg"


@pytest.mark.parametrize(
    ("graph", "sentence"),
    [
        ({"parents": None}, f"{GRAPH}: parents must be set when layout is custom"),
        ({"parents": [0]}, f"{GRAPH}.parents must have at least 2 items"),
        ({"parents": [0, -1]}, f"{GRAPH}.parents[1] must be greater than or equal to 0, not -1"),
        ({"parents": [0, 0.5]}, f"{GRAPH}.parents[1] must be a valid integer"),
        ({"parents": [0, 0, 3]}, f"{GRAPH}: parents[2] is 3, but the joints are 0 to 2"),
        (
            {"parents": [1, 0]},
            f"{GRAPH}: parents must have one centre, a joint that is its own parent, but has none",
        ),
        (
            {"parents": [0, 1, 0]},
            f"{GRAPH}: parents must have one centre, a joint that is its own parent, "
            "but has 2 (0, 1)",
        ),
        (
            {"parents": [0, 0, 3, 4, 2]},
            f"{GRAPH}: parents must be a tree, but the path from joint 2 is a cycle",
        ),
        (
            {"left_right": [0, 3]},
            f"{GRAPH}: left_right must name one joint for each of the 7 joints in parents, not 2",
        ),
        (
            {"left_right": [7, *MIRROR[1:]]},
            f"{GRAPH}: left_right[0] is 7, but the joints are 0 to 6",
        ),
        (
            {"left_right": [0, 3, 4, 1, 2, 6, 6]},
            f"{GRAPH}: left_right[5] is 6, so left_right[6] must be 5",
        ),
        ({"dimensions": 4}, f"{GRAPH}.dimensions must be 2 or 3, not 4"),
        (
            {"layout": "nturgb+d"},
            f"{GRAPH}: parents must be left out when layout is nturgb+d; it belongs to the",
        ),
        (
            {"layout": "coco_new", "parents": None},
            f"{GRAPH}: left_right must be left out when layout is coco_new",
        ),
        ({"parent": PARENTS}, f"unknown key {GRAPH}.parent; did you mean parents?"),
    ],
)
def test_a_wrong_layout_is_one_sentence(
    graph: dict[str, Any], sentence: str, own: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump(own(graph)))
    with pytest.raises(ConfigError) as caught:
        load_config(path)
    assert str(caught.value).startswith(f"{path}: {sentence}")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("graph", "data", "sentence"),
    [
        (
            {},
            {"align_spine": True},
            f"data.align_spine must be left out when {GRAPH}.layout is custom",
        ),
        ({}, {"part_drop": 0.2}, f"data.part_drop must be 0 when {GRAPH}.layout is custom"),
        (
            {},
            {"mean_scores": True},
            f"data.mean_scores must be left out when {GRAPH}.dimensions is 3",
        ),
        (
            {"dimensions": 2},
            {"rotate": 0.2},
            f"data.rotate must be 0 when {GRAPH}.dimensions is 2",
        ),
        (
            {"left_right": None},
            {"flip": 0.5},
            f"data.flip must be 0 when {GRAPH}.left_right is left out",
        ),
        ({}, {"rotate": 0.2, "flip": 0.5, "mirror_flip": True, "float32": True}, None),
        ({"dimensions": 2}, {"flip": 0.5, "mean_scores": True}, None),
    ],
)
def test_options_that_need_the_joints_of_another_layout_are_refused(
    graph: dict[str, Any],
    data: dict[str, Any],
    sentence: str | None,
    own: Callable[..., dict[str, Any]],
    tmp_path: Path,
) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump(own(graph, **data)))
    if sentence is None:
        assert load_config(path).model.backbone.graph_cfg.skeleton.joints == 7
        return
    with pytest.raises(ConfigError) as caught:
        load_config(path)
    assert str(caught.value) == f"{path}: {sentence}"


def test_the_head_must_be_of_the_same_layout(
    own: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    path, raw = tmp_path / "mine.yaml", own()
    del raw["model"]["cls_head"]["joint_cfg"]
    path.write_text(yaml.safe_dump(raw))
    with pytest.raises(
        ConfigError,
        match=r"cls_head\.joint_cfg must be custom, the same as backbone\.graph_cfg\.layout",
    ):
        load_config(path)


@pytest.mark.parametrize(
    ("graph", "fits"),
    [
        ({}, True),
        ({"dimensions": 2}, True),
        ({"left_right": None}, True),
        ({"parents": None}, False),
        ({"parents": [0, "a"]}, False),
        ({"dimensions": 4}, False),
        ({"layout": "coco_new"}, False),
        ({"layout": "coco_new", "parents": None, "left_right": None}, True),
    ],
)
def test_the_schema_checks_the_layout(
    graph: dict[str, Any], fits: bool, own: Callable[..., dict[str, Any]]
) -> None:
    assert Draft202012Validator(json_schema()).is_valid(own(graph)) is fits


def test_a_resolved_config_passes_the_schema(own: Callable[..., dict[str, Any]]) -> None:
    for raw in (own(), own({"layout": "nturgb+d", "parents": None, "left_right": None})):
        resolved = TrainConfig.model_validate(raw).model_dump(mode="json")
        Draft202012Validator(json_schema()).validate(resolved)
        assert TrainConfig.model_validate(resolved) == TrainConfig.model_validate(raw)
