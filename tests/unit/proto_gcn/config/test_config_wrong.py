"""An error in a config file is reported in one sentence, with the nearest key."""

from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import ValidationError

from proto_gcn.config.file import load_config
from proto_gcn.config.train import TrainConfig
from proto_gcn.errors import ConfigError


def changed(raw: dict[str, Any], key: str, value: object) -> dict[str, Any]:
    *parents, last = key.split(".")
    section = raw
    for parent in parents:
        section = section.setdefault(parent, {})
    section[last] = value
    return raw


@pytest.mark.parametrize(
    ("key", "value", "sentence"),
    [
        ("data.clip_lenght", 8, "unknown key data.clip_lenght; did you mean clip_len?"),
        ("total_epoch", 8, "unknown key total_epoch; did you mean total_epochs?"),
        ("lr", 0.1, "unknown key lr; did you mean optimizer.lr?"),
        (
            "model.num_classes",
            5,
            "unknown key model.num_classes; did you mean model.cls_head.num_classes?",
        ),
        (
            "data.zzzzzz",
            5,
            "unknown key data.zzzzzz; the known keys here are align_spine, ann_file, box_thr, ",
        ),
        ("data.clip_len", 2, "data.clip_len must be greater than or equal to 4, not 2"),
        ("data.clip_len", "20", "data.clip_len must be a valid integer, not '20'"),
        ("data.flip", 1.5, "data.flip must be less than or equal to 1, not 1.5"),
        (
            "optimizer.lr",
            "5e-4",
            "optimizer.lr must be a valid number, not '5e-4'; write the number with a decimal",
        ),
        ("optimizer.lr", float("nan"), "optimizer.lr must be a finite number, not nan"),
        (
            "model.backbone.graph_cfg",
            {"init_off": float("nan")},
            "model.backbone.graph_cfg.init_off must be a finite",
        ),
        (
            "model.backbone.gcn_scale_init",
            float("inf"),
            "model.backbone.gcn_scale_init must be a finite number, not",
        ),
        ("optimizer", {"momentum": 0.0}, "optimizer: nesterov needs momentum above 0"),
        ("optimizer", [], "optimizer must be a mapping of keys, not []"),
        ("modality", "x", "modality must be 'j', 'b', 'k', 'jm', 'bm' or 'km', not 'x'"),
        ("data.ann_file", "", "data.ann_file must have at least 1 character, not ''"),
        ("data", {}, "data.ann_file is missing; add it"),
        (
            "model.cls_head.in_channels",
            384,
            "model: cls_head.in_channels must be 16, the width of the last stage",
        ),
        ("model.backbone.tcn_ms_cfg", [[4, 1]], "model.backbone.tcn_ms_cfg: a kernel must be odd"),
        (
            "model.backbone.tcn_ms_cfg",
            [[3, "max"]],
            "model.backbone.tcn_ms_cfg: a branch must be [kernel, dilation]",
        ),
        ("model.backbone.tcn_ms_cfg", ["2x2"], "model.backbone.tcn_ms_cfg[0] must be"),
        ("evaluation", {"topk": [5]}, "evaluation: topk must contain 1"),
        ("model.backbone.data_bn_type", "MVC", None),
    ],
)
def test_a_wrong_config_is_one_sentence(
    key: str, value: object, sentence: str | None, raw_config: dict[str, Any], tmp_path: Path
) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump(changed(raw_config, key, value)))
    if sentence is None:
        assert load_config(path)
        return
    with pytest.raises(ConfigError) as caught:
        load_config(path)
    assert str(caught.value).startswith(f"{path}: {sentence}")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_no_key_accepts_nan_or_infinity(value: float, raw_config: dict[str, Any]) -> None:
    keys = list(flat(TrainConfig.model_validate(raw_config).model_dump()))
    assert len(keys) > 60
    assert [key for key in keys if is_valid(changed(deepcopy(raw_config), key, value))] == []


def flat(section: dict[str, Any], prefix: str = "") -> Iterator[str]:
    for key, value in section.items():
        yield from flat(value, f"{prefix}{key}.") if isinstance(value, dict) else [prefix + key]


def is_valid(raw: dict[str, Any]) -> bool:
    try:
        TrainConfig.model_validate(raw)
    except ValidationError:
        return False
    return True


def test_several_errors_are_counted_and_the_typo_comes_first(
    raw_config: dict[str, Any], tmp_path: Path
) -> None:
    raw_config["data"]["ann_fiel"] = raw_config["data"].pop("ann_file")
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump(raw_config))
    with pytest.raises(
        ConfigError,
        match=r"unknown key data\.ann_fiel; did you mean ann_file\? \(1 more to correct\)",
    ):
        load_config(path)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "must be a mapping"),
        ("- 1", "must be a mapping"),
        ("a: [", "is not valid YAML"),
        ("a: \x00", "is not valid YAML"),
        ("a: 2020-13-45", "is not valid YAML"),
    ],
)
def test_a_file_that_is_not_a_config_is_refused(text: str, sentence: str, tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=rf"mine\.yaml {sentence}") as caught:
        load_config(path)
    assert "\n" not in str(caught.value)


def test_the_error_for_a_missing_file_names_the_variable(tmp_path: Path) -> None:
    with pytest.raises(
        ConfigError,
        match=r"cannot read the config file .*missing\.yaml: No such file .* set CONFIG_FILE",
    ):
        load_config(tmp_path / "missing.yaml")
