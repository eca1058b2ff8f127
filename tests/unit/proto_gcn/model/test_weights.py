"""Weights of other networks: prefixes, missing, unknown and misshapen keys, and their remedies."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from proto_gcn.config.train import ModelConfig
from proto_gcn.engine.checkpoints.checkpoint import load_weights
from proto_gcn.errors import ConfigError
from proto_gcn.model.head import ProtoGCN
from proto_gcn.model.weights import fitting

State = dict[str, Tensor]


@pytest.mark.parametrize("prefix", ["", "module.", "_orig_mod.", "module._orig_mod."])
def test_prefixes_of_wrappers_are_stripped(small_model: ProtoGCN, prefix: str) -> None:
    state = {prefix + key: value + 1 for key, value in small_model.state_dict().items()}
    found, remarks = fitting(state, small_model)
    assert remarks == []
    small_model.load_state_dict(found)
    assert all(
        torch.equal(value, state[prefix + key]) for key, value in small_model.state_dict().items()
    )


def test_misfits_in_what_only_training_needs_are_listed_and_accepted(small_model: ProtoGCN) -> None:
    state = {key: value + 1 for key, value in small_model.state_dict().items()}
    wanted = {
        key: value
        for key, value in state.items()
        if not key.startswith(("backbone.prn", "backbone.post"))
    }
    state["backbone.post.weight"], state["backbone.prn.old"] = torch.zeros(2, 2), torch.zeros(1)
    del state["backbone.prn.query_matrix.weight"], state["backbone.post.bias"]
    wanted["backbone.prn.memory_matrix.weight"] = state["backbone.prn.memory_matrix.weight"]
    found, remarks = fitting(state, small_model)
    assert found.keys() == wanted.keys()
    assert remarks == [
        "2 keys are missing: backbone.post.bias, backbone.prn.query_matrix.weight",
        "1 key is unknown: backbone.prn.old",
        "1 key is of another shape: backbone.post.weight ([2, 2] instead of [16, 16, 1, 1])",
    ]


def other(**changes: Any) -> Callable[[State, dict[str, Any]], State]:
    """Of a network whose config differs in these keys of the backbone."""

    def made(_: State, raw: dict[str, Any]) -> State:
        model = {
            "backbone": raw["model"]["backbone"] | changes,
            "cls_head": dict(raw["model"]["cls_head"]),
        }
        model["cls_head"]["joint_cfg"] = changes.get("graph_cfg", {}).get("layout", "nturgb+d")
        return ProtoGCN(ModelConfig.model_validate(model)).state_dict()

    return made


def renamed(old: str, new: str) -> Callable[[State, dict[str, Any]], State]:
    return lambda state, _: {key.replace(old, new, 1): value for key, value in state.items()}


def without(*prefixes: str) -> Callable[[State, dict[str, Any]], State]:
    return lambda state, _: {
        key: value for key, value in state.items() if not key.startswith(prefixes)
    }


MISFITS = [
    (
        without("backbone.gcn.1.gcn.pre.1.running_mean"),
        "1 key is missing: backbone.gcn.1.gcn.pre.1.running_mean; its",
    ),
    (without("backbone.gcn.2"), r"missing: .*, …; set model.backbone.num_stages to 2 \(it is 3\)"),
    (
        without("cls_head.fc_cls"),
        "2 keys are missing: cls_head.fc_cls.weight, cls_head.fc_cls.bias; its network has",
    ),
    (
        renamed("gcn.0.gcn.A", "gcn.0.gcn.PA"),
        r"gcn\.A \(is it .*gcn\.PA\?\); 1 key is unknown: .* may have\): rename",
    ),
    (
        renamed("", "model."),
        r"its key model\.backbone\.gcn\.0\.gcn\.A is backbone\.gcn\.0\.gcn\.A in ours, and so on: "
        "rename",
    ),
    (renamed("backbone.", ""), r"its key gcn\.0\.gcn\.A is backbone\.gcn"),
    (
        other(num_stages=4),
        r"unknown: backbone\.gcn\.3.*, …; set model\.backbone\.num_stages to 4 \(it is 3\)$",
    ),
    (
        other(base_channels=16),
        r"of another shape: .*, …; set model\.backbone\.base_channels to 16 \(it is 8\)$",
    ),
    (other(gcn_ratio=0.25), r"of another shape: .*; set the widths in model\.backbone to those"),
    (
        other(graph_cfg={"layout": "coco_new"}),
        "of a layout with 20 joints, and the config's has 25: set .*graph_cfg",
    ),
    (
        other(graph_cfg={"num_filter": 4}),
        r"set model\.backbone\.graph_cfg\.num_filter to 4 \(it is 8\)$",
    ),
    (
        lambda *_: {"conv1.weight": torch.zeros(1)},
        "it is of another network; use a checkpoint of ours or of the pub",
    ),
    (lambda *_: [1], "its state_dict does not hold weights by name; use a checkpoint"),
    (
        lambda *_: {"backbone.gcn.0.gcn.A": 1},
        "its state_dict does not hold weights by name; use a checkpoint",
    ),
]


@pytest.mark.parametrize(("change", "sentence"), MISFITS)
def test_any_other_misfit_is_refused_with_its_remedy_and_changes_nothing(
    small_model: ProtoGCN, raw_config: dict[str, Any], change: Callable[..., Any], sentence: str
) -> None:
    before = {key: value.clone() for key, value in small_model.state_dict().items()}
    state = change(dict(before), raw_config)
    for load in (
        lambda: fitting(state, small_model),
        lambda: load_weights({"state_dict": state}, small_model),
    ):
        with pytest.raises(ConfigError, match=sentence):
            load()
    assert all(torch.equal(value, before[key]) for key, value in small_model.state_dict().items())


def test_surplus_keys_are_ignored_for_scores_and_refused_for_training(
    small_model: ProtoGCN,
) -> None:
    own = small_model.state_dict()
    state = own | {"backbone.gcn.0.gcn.mask": torch.zeros(1)}
    found, remarks = fitting(state, small_model)
    assert found.keys() == own.keys()
    assert remarks == ["1 key is unknown: backbone.gcn.0.gcn.mask"]
    with pytest.raises(
        ConfigError,
        match=r"^load_from: .* 1 key is unknown: backbone.gcn.0.gcn.mask; its network has other",
    ):
        load_weights({"state_dict": state}, small_model)


def test_a_classifier_of_other_classes_is_trained_from_scratch_but_refused_for_scores(
    small_model: ProtoGCN,
) -> None:
    state = {key: value + 1 for key, value in small_model.state_dict().items()}
    state["cls_head.fc_cls.weight"], state["cls_head.fc_cls.bias"] = (
        torch.zeros(60, 16),
        torch.zeros(60),
    )
    with pytest.raises(ConfigError, match=r"; set model\.cls_head\.num_classes to 60 \(it is 4\)$"):
        fitting(state, small_model)
    own = small_model.cls_head.fc_cls.weight.clone()
    assert load_weights({"state_dict": state}, small_model) == [
        "load_from: 2 keys are of another shape: "
        "cls_head.fc_cls.weight ([60, 16] instead of [4, 16]), "
        "cls_head.fc_cls.bias ([60] instead of [4]); training starts without them"
    ]
    assert torch.equal(small_model.cls_head.fc_cls.weight, own)
    assert torch.equal(small_model.backbone.data_bn.weight, state["backbone.data_bn.weight"])
