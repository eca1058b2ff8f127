import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
import yaml
from jsonschema import Draft202012Validator
from jsonschema.exceptions import best_match

from devtools import ROOT
from proto_gcn.config.file import BASES, completed, load_config
from proto_gcn.config.train import Base, TrainConfig, json_schema
from proto_gcn.errors import ConfigError

WORKFLOWS = ROOT / "workflows"


def test_the_shipped_schema_is_current() -> None:
    shipped = json.loads((WORKFLOWS / "proto-gcn.schema.json").read_text())
    assert shipped == json_schema(), (
        "run: python -m proto_gcn.config > workflows/proto-gcn.schema.json"
    )


def test_the_schema_refuses_unknown_keys_everywhere() -> None:
    schema = json_schema()
    objects = [schema, *schema["$defs"].values()]
    assert len(objects) == 12
    assert [o["title"] for o in objects if o["additionalProperties"] is not False] == []


def test_the_base_config_shows_the_defaults() -> None:
    base = load_config(WORKFLOWS / "configs" / "config.yaml")
    shown = yaml.safe_load((WORKFLOWS / "configs" / "config.yaml").read_text())
    assert base == TrainConfig.model_validate(
        {"data": {"ann_file": base.data.ann_file, "test_clips": 10}}
    )
    assert shown.keys() | {"work_dir", "base"} == TrainConfig.model_fields.keys()


def test_the_demo_network_is_narrow_but_has_all_stages() -> None:
    backbone = load_config(WORKFLOWS / "configs" / "demo.yaml").model.backbone
    assert backbone.num_stages == 10
    assert (backbone.base_channels, backbone.num_person, backbone.num_prototype) == (16, 1, 50)


# -- the published configurations --------------------------------------------------------------

DATASETS = {  # classes, the half of the split's name, file
    "ntu60_xsub": (60, "xsub_", "ntu60_3danno.pkl"),
    "ntu60_xview": (60, "xview_", "ntu60_3danno.pkl"),
    "ntu120_xsub": (120, "xsub_", "ntu120_3danno.pkl"),
    "ntu120_xset": (120, "xset_", "ntu120_3danno.pkl"),
    "finegym": (99, "", "gym_hrnet.pkl"),
    "k400": (400, "", "k400_hrnet.pkl"),
}
STREAMS = {
    "j": (400, 0.2),
    "jm": (400, 0.2),
    "b": (100, 0.3),
    "bm": (100, 0.3),
    "k": (100, 0.1),
    "km": (100, 0.1),
}
FLIPS = {"ntu60_xsub": ["b", "k", "bm", "km"], "ntu120_xsub": ["j", "b", "jm", "bm"]}
FLIPS["ntu120_xset"] = FLIPS["ntu60_xsub"]
DROPS = {"ntu60_xview": ["k", "km"], "ntu120_xsub": ["k", "km"]}


@pytest.mark.parametrize("stream", STREAMS)
@pytest.mark.parametrize("dataset", DATASETS)
def test_a_published_configuration(dataset: str, stream: str) -> None:
    """The values that differ from the defaults are those of the published configs."""
    config = load_config(WORKFLOWS / "configs" / f"{dataset}_{stream}.yaml")
    (classes, half, file), (prototypes, weight) = DATASETS[dataset], STREAMS[stream]
    flat = dataset in ("finegym", "k400")
    expected: dict[str, Any] = {
        "base": dataset,
        "modality": stream,
        "model": {
            "backbone": {"num_prototype": prototypes},
            "cls_head": {"num_classes": classes, "weight": weight},
        },
        "data": {
            "ann_file": f"/data/datasets/{file}",
            "train_split": f"{half}train",
            "val_split": f"{half}val",
            "test_clips": 10,
            "flip": 0.5 if flat or stream in FLIPS.get(dataset, []) else 0.0,
            "part_drop": 0.2 if stream in DROPS.get(dataset, []) else 0.0,
        },
    }
    if flat:
        expected["model"]["backbone"]["graph_cfg"] = {"layout": "coco_new"}
        expected["model"]["cls_head"]["joint_cfg"] = "coco_new"
        expected["data"]["rotate"] = 0.0
        expected["evaluation"] = {"metrics": ["top_k_accuracy", "mean_class_accuracy"]}
    if dataset == "k400":
        expected["data"] |= {"kpfiles": "kpfiles", "videos_per_gpu": 64, "workers_per_gpu": 16}
        expected["optimizer"] = {"lr": 0.1}
    assert config == TrainConfig.model_validate(expected)


def test_the_36_published_files_show_only_what_differs_from_their_base() -> None:
    files = [
        path
        for path in (WORKFLOWS / "configs").iterdir()
        if path.name not in ("config.yaml", "demo.yaml")
    ]
    assert {path.name for path in files} == {f"{d}_{s}.yaml" for d in DATASETS for s in STREAMS}
    for path in files:
        own = yaml.safe_load(path.read_text())
        base = load_config_of_base(own["base"])
        assert [
            key
            for key, value in leaves(own)
            if value == base.get(key) and key not in ("base", "modality")
        ] == []


def leaves(raw: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in raw.items():
        if isinstance(value, dict):
            yield from leaves(value, f"{prefix}{key}.")
        else:
            yield prefix + key, value


def load_config_of_base(name: str) -> dict[str, Any]:
    return dict(
        leaves(TrainConfig.model_validate(completed({"base": name})).model_dump(mode="json"))
    )


def test_every_base_is_shipped_and_complete() -> None:
    assert {path.stem for path in BASES.glob("*.yaml")} == set(get_args(Base))
    for name in get_args(Base):
        shipped = yaml.safe_load((BASES / f"{name}.yaml").read_text())
        assert "base" not in shipped
        assert TrainConfig.model_validate(shipped).data.test_clips == 10


def test_a_file_overrides_its_base(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(
        "base: k400\nevaluation: {topk: [1]}\ndata: {ann_file: /data/mine.pkl, kpfiles: null}\n"
    )
    config = load_config(path)
    assert (config.data.ann_file, config.data.kpfiles, config.data.flip) == (
        "/data/mine.pkl",
        None,
        0.5,
    )
    assert config.evaluation.topk == [1]
    assert config.evaluation.metrics == ["top_k_accuracy", "mean_class_accuracy"]


def test_a_resolved_config_can_be_loaded_again(tmp_path: Path) -> None:
    """The run folder contains the resolved config, with the name of its base."""
    config = load_config(WORKFLOWS / "configs" / "ntu120_xsub_km.yaml")
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump(config.model_dump(mode="json")))
    assert load_config(path) == config


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("base: ntu60_xsubb", "base must be 'ntu60_xsub', 'ntu60_xview', "),
        ("base: ../k400", "base must be "),
        ("base: [k400]", "base must be "),
        ("bse: k400", "unknown key bse; did you mean base? (1 more to correct)"),
        (
            "base: k400\ndata: {rotate: 0.2}",
            "data.rotate must be 0 when model.backbone.graph_cfg.layout is coco_new",
        ),
        ("base: k400\ndata: 3", "data must be a mapping of keys, not 3"),
        ("base: k400\ndata: {float32: true}", "data.float32 must be left out when "),
        ("base: ntu60_xsub\ndata: {kpfiles: x}", "data.kpfiles must be left out when "),
        (
            "base: ntu60_xsub\nmodel: {cls_head: {joint_cfg: coco_new}}",
            "model: cls_head.joint_cfg must be nturgb+d",
        ),
    ],
)
def test_an_error_in_a_base_or_over_it_is_one_sentence(
    text: str, sentence: str, tmp_path: Path
) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError) as caught:
        load_config(path)
    assert str(caught.value).startswith(f"{path}: {sentence}")


@pytest.mark.parametrize(
    ("raw", "broken"),
    [
        ({"base": "k400"}, []),
        ({"base": "k400", "data": {}}, []),
        ({"data": {"ann_file": "a"}}, []),
        ({"base": None, "data": {"ann_file": "a"}}, []),
        ({"model": {}}, ["'data' is a required property"]),
        ({"base": None}, ["'data' is a required property"]),
        ({"data": {}}, ["'ann_file' is a required property"]),
        ({"base": "k4000"}, ["'k4000' is not one of"]),
        ({"base": "k400", "dta": {}}, ["('dta' was unexpected)"]),
    ],
)
def test_the_schema_requires_a_data_file_without_a_base(
    raw: dict[str, Any], broken: list[str]
) -> None:
    found = [
        str(best_match(iter([error])).message)
        for error in Draft202012Validator(json_schema()).iter_errors(raw)
    ]
    assert len(found) == len(broken)
    assert all(words in message for words, message in zip(broken, found, strict=True)), found


def test_all_shipped_files_pass_the_schema() -> None:
    validator = Draft202012Validator(json_schema())
    for path in (WORKFLOWS / "configs").iterdir():
        assert list(validator.iter_errors(yaml.safe_load(path.read_text()))) == [], path
