"""The wire format of a node's resources: what decode accepts and refuses; nothing is coerced."""

import copy
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobqueue.resources import (
    InvalidSnapshot,
    NodeReason,
    NodeReasonCode,
    NodeSnapshot,
    Thresholds,
    free_gpus,
)


def document() -> dict[str, Any]:
    """A snapshot with two GPUs, one of them free."""
    gpu = {
        "index": 0,
        "uuid": "GPU-a",
        "name": "NVIDIA H100",
        "memory_used_mb": 2048,
        "memory_total_mb": 10240,
        "memory_free_mb": 8192,
        "utilization_percent": 75,
        "power_w": 280.5,
        "temperature_c": 71,
        "process_count": 1,
        "available": True,
        "processes": [{"pid": 4242, "used_memory_mb": 2000, "user": "bob"}],
    }
    reason = {
        "code": "gpu_busy",
        "message": "GPU 1 is at 93 %.",
        "gpu": 1,
        "value": 93,
        "threshold": 80,
        "unit": "percent",
    }
    return {
        "available": True,
        "node": "gpu-1",
        "age_s": 0.4,
        "reasons": [reason],
        "gpus": [
            gpu,
            gpu | {"index": 1, "uuid": "GPU-b", "utilization_percent": 93, "available": False},
        ],
        "cpu": {"usage_percent": 45.0, "load_average": [2.1, 1.9, 1.7]},
        "memory": {"used_mb": 12288, "total_mb": 32768, "usage_percent": 37.5},
        "thresholds": {
            "gpu_memory_free_mb": 200,
            "gpu_utilization_percent": 80,
            "cpu_percent": 90,
            "memory_percent": 85,
        },
    }


def changed(path: str, value: Any) -> str:
    """The document as JSON with the value at a dotted path replaced."""
    whole = document()
    *parents, last = [int(step) if step.isdecimal() else step for step in path.split(".")]
    place: Any = whole
    for step in parents:
        place = place[step]
    place[last] = value
    return json.dumps(whole)


def same(snapshot: NodeSnapshot, text: str) -> bool:
    """Return whether nothing was coerced; a GPU's processes may be absent, which means null."""
    sent = json.loads(text)
    for gpu in sent["gpus"]:
        gpu.setdefault("processes", None)
    return json.dumps(snapshot.encode(), sort_keys=True) == json.dumps(sent, sort_keys=True)


def test_a_valid_document_comes_back_as_it_was() -> None:
    text = json.dumps(document())
    snapshot = NodeSnapshot.decode(text.encode())
    assert same(snapshot, text)
    assert snapshot.gpus[0].memory_free_mb == 8192
    assert snapshot.reasons == (NodeReason("gpu_busy", "GPU 1 is at 93 %.", 1, 93, 80, "percent"),)


def test_off_as_a_threshold_is_read_as_none_and_written_as_off() -> None:
    snapshot = NodeSnapshot.decode(changed("thresholds.cpu_percent", "off"))
    assert snapshot.thresholds == Thresholds(cpu_percent=None)
    assert snapshot.encode()["thresholds"]["cpu_percent"] == "off"


@pytest.mark.parametrize(
    "path",
    [
        "gpus.1.utilization_percent",
        "gpus.1.memory_free_mb",
        "gpus.0.power_w",
        "gpus.0.temperature_c",
        "gpus.0.process_count",
        "cpu.load_average",
        "gpus.0.processes",
        "gpus.0.processes.0.pid",
        "gpus.0.processes.0.user",
        "gpus.0.processes.0.used_memory_mb",
    ],
)
def test_a_field_that_allows_null_reads_it_as_none(path: str) -> None:
    text = changed(path, None)
    assert same(NodeSnapshot.decode(text), text)


def test_an_older_monitor_without_processes_is_understood() -> None:
    whole = document()
    del whole["gpus"][0]["processes"]
    assert NodeSnapshot.decode(json.dumps(whole)).gpus[0].processes is None


def test_unknown_fields_of_a_newer_monitor_are_ignored() -> None:
    assert NodeSnapshot.decode(
        json.dumps(document() | {"new": {"deep": [1]}})
    ) == NodeSnapshot.decode(json.dumps(document()))


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"", "not JSON"),
        (b"<html><body>502 Bad Gateway</body></html>", "not JSON"),
        (json.dumps(document())[:-5], "not JSON"),
        (b"\xff\xfe{}", "not JSON"),
        (b"[]", "not a JSON object"),
        (b"null", "not a JSON object"),
        (b"[" * 100_000, "nested too deeply"),
        (b'{"a":' * 100_000, "nested too deeply"),
        (b'{"available": false, "available": true}', "duplicate key"),
        (b'{"age_s": NaN}', "NaN"),
        (b'{"age_s": -Infinity}', "Infinity"),
        (b'{"age_s": ' + b"9" * 10_000 + b"}", "not JSON"),
    ],
)
def test_text_that_is_not_a_json_object_is_refused(body: bytes, says: str) -> None:
    with pytest.raises(InvalidSnapshot, match=says):
        NodeSnapshot.decode(body)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("available", 1),
        ("available", "true"),
        ("node", ""),
        ("node", "gpu 1"),
        ("node", "gpu-1\n"),
        ("node", "x" * 300),
        ("node", "../etc"),
        ("age_s", -0.1),
        ("age_s", "0.4"),
        ("age_s", True),
        ("age_s", None),
        ("age_s", 10**400),
        ("gpus", {}),
        ("gpus", [[]]),
        ("gpus.0.index", 0.5),
        ("gpus.0.index", -1),
        ("gpus.0.name", "bad\ud800name"),
        ("gpus.0.utilization_percent", 101),
        ("gpus.0.utilization_percent", -1),
        ("gpus.0.utilization_percent", "12"),
        ("gpus.0.utilization_percent", True),
        ("gpus.0.utilization_percent", None),
        ("gpus.0.memory_free_mb", None),
        ("gpus.0.memory_free_mb", 10241),
        ("gpus.0.memory_used_mb", 10241),
        ("gpus.0.memory_total_mb", 2**63 - 14),
        ("gpus.0.process_count", 1.5),
        ("gpus.0.available", False),
        ("gpus.0.processes", {}),
        ("gpus.0.processes", ["4242"]),
        ("gpus.0.processes", [{"pid": 4242, "user": "bob"}]),
        ("gpus.0.processes", [{"pid": 1, "used_memory_mb": 1, "user": "bob"}] * 33),
        ("gpus.0.processes.0.pid", "4242"),
        ("gpus.0.processes.0.pid", -1),
        ("gpus.0.processes.0.user", ""),
        ("gpus.0.processes.0.user", "b\nob"),
        ("gpus.0.processes.0.used_memory_mb", 2**64 - 1),
        ("gpus.1.uuid", "GPU-a"),
        ("cpu", None),
        ("cpu.usage_percent", 100.1),
        ("cpu.usage_percent", None),
        ("cpu.load_average", [1, 2]),
        ("cpu.load_average", [1, 2, -1]),
        ("memory.used_mb", 99999),
        ("memory.usage_percent", None),
        ("thresholds.cpu_percent", None),
        ("thresholds.cpu_percent", "OFF"),
        ("thresholds.cpu_percent", 101),
        ("reasons.0.code", "tired"),
        ("reasons.0.code", ["gpu_busy"]),
        ("reasons.0.message", ""),
        ("reasons.0.gpu", "0"),
    ],
)
def test_a_wrong_value_is_refused_with_one_sentence(path: str, value: Any) -> None:
    with pytest.raises(InvalidSnapshot) as refused:
        NodeSnapshot.decode(changed(path, value))
    assert str(refused.value).endswith(".")
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("node", "gpu 1", "node must be a host name."),
        ("available", 1, "available must be true or false."),
        ("age_s", 1e16, "age_s must be a number from 0 to 1e+15."),
        ("gpus", 1, "gpus must be a list."),
        ("gpus.1", [], "gpus[1] is not a JSON object."),
        ("gpus.1.index", 0.5, "gpus[1].index must be a whole number up to 1e+15."),
        ("gpus.0.power_w", "1", "gpus[0].power_w must be a number from 0 to 1e+15."),
        ("gpus.0.memory_used_mb", 10241, "gpus[0].memory_used_mb is more than the total."),
        ("gpus.1.memory_free_mb", 10241, "gpus[1].memory_free_mb is more than the total."),
        ("gpus.0.processes", [0] * 2, "gpus[0].processes[0] is not a JSON object."),
        ("gpus.0.processes.0.pid", 0.5,
         "gpus[0].processes[0].pid must be a whole number up to 1e+15."),
        ("cpu", None, "cpu is not a JSON object."),
        ("cpu.usage_percent", 101, "cpu.usage_percent must be a number from 0 to 100."),
        ("cpu.load_average", [1], "cpu.load_average must be three numbers, none of them below 0."),
        ("memory.used_mb", 32769, "memory.used_mb is more than the total."),
        ("thresholds.cpu_percent", -1,
         "thresholds.cpu_percent must be off or a number from 0 to 100."),
        ("reasons.0.code", "tired", "reasons[0].code must be a known reason code."),
        ("reasons.0.message", "",
         "reasons[0].message must be a printable text of 1 to 1000 characters."),
    ],
)  # fmt: skip
def test_a_refusal_names_the_field_by_its_path_and_the_rule(
    path: str, value: Any, message: str
) -> None:
    with pytest.raises(InvalidSnapshot) as refused:
        NodeSnapshot.decode(changed(path, value))
    assert str(refused.value) == message


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("node", "GPU-Node.Lab_1"),
        ("age_s", 10**15),
        ("gpus.0.name", "x"),
        ("gpus.0.name", "x" * 1000),
        ("gpus.0.memory_used_mb", 10240),
        ("gpus.0.memory_free_mb", 10240),
        ("gpus.0.processes", [{"pid": 1, "used_memory_mb": 1, "user": "bob"}] * 32),
        ("cpu.load_average", [0, 0.5, 1]),
        ("cpu.usage_percent", 100),
    ],
)
def test_the_largest_and_smallest_values_are_accepted(path: str, value: Any) -> None:
    text = changed(path, value)
    assert same(NodeSnapshot.decode(text), text)


@pytest.mark.parametrize(("path", "value"), [("age_s", 10**15 + 1), ("gpus.0.name", "x" * 1001)])
def test_one_more_is_refused(path: str, value: Any) -> None:
    with pytest.raises(InvalidSnapshot):
        NodeSnapshot.decode(changed(path, value))


def test_a_load_average_is_a_tuple() -> None:
    assert NodeSnapshot.decode(json.dumps(document())).cpu.load_average == (2.1, 1.9, 1.7)


def test_the_document_that_is_not_an_object_and_the_one_without_a_field() -> None:
    for body, message in [("[]", "The JSON is not a JSON object."), ("{}", "node is missing.")]:
        with pytest.raises(InvalidSnapshot) as refused:
            NodeSnapshot.decode(body)
        assert str(refused.value) == message


def test_text_that_is_not_json_is_refused_with_the_reason_cut_short() -> None:
    with pytest.raises(InvalidSnapshot, match=r"is not JSON \(Expecting value"):
        NodeSnapshot.decode("")
    with pytest.raises(InvalidSnapshot, match=r"is not JSON \(.{100}\)\.$"):
        NodeSnapshot.decode("9" * 10_000)


def test_only_utf_8_is_json() -> None:
    with pytest.raises(InvalidSnapshot, match="is not JSON"):
        NodeSnapshot.decode(json.dumps(document()).encode("utf-16"))


def test_a_reason_code_is_the_name_of_its_constant() -> None:
    assert all(code.value == code.name.lower() for code in NodeReasonCode)


def test_the_default_thresholds() -> None:
    assert NodeSnapshot.decode(json.dumps(document())).thresholds == Thresholds()


def test_a_reason_about_nothing_in_particular() -> None:
    reason = NodeReason("no_gpu", "There is no GPU.")
    assert reason == NodeReason("no_gpu", "There is no GPU.", None, None, None, None)


def test_unavailable_needs_a_reason() -> None:
    with pytest.raises(InvalidSnapshot, match="without a reason"):
        NodeSnapshot.decode(json.dumps(document() | {"available": False, "reasons": []}))


def test_unknown_utilisation_is_accepted_only_if_its_threshold_is_off() -> None:
    whole = document()
    whole["gpus"][0]["utilization_percent"] = None
    whole["thresholds"]["gpu_utilization_percent"] = "off"
    assert NodeSnapshot.decode(json.dumps(whole)).gpus[0].available


@pytest.mark.parametrize("name", sorted(document()))
def test_each_field_is_required(name: str) -> None:
    whole = document()
    del whole[name]
    with pytest.raises(InvalidSnapshot, match=f"{name} .*is missing"):
        NodeSnapshot.decode(json.dumps(whole))


def test_a_gpu_is_free_by_measurement_and_if_it_is_not_reserved() -> None:
    snapshot = NodeSnapshot.decode(json.dumps(document()))
    assert [gpu.uuid for gpu in free_gpus(snapshot, ())] == ["GPU-a"]
    assert free_gpus(snapshot, {"GPU-a"}) == ()


def test_no_gpu_is_free_on_a_node_that_is_not_available() -> None:
    snapshot = NodeSnapshot.decode(json.dumps(document() | {"available": False}))
    assert free_gpus(snapshot, ()) == ()


def paths(value: Any, so_far: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Return the path of every part of a JSON value, except the root."""
    items = (
        value.items()
        if isinstance(value, dict)
        else enumerate(value)
        if isinstance(value, list)
        else ()
    )
    return [
        found for key, inner in items for found in [(*so_far, key), *paths(inner, (*so_far, key))]
    ]


odd_values = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=5),
    st.sampled_from(["off", [], {}, 0, 100, 85.0]),
)


@given(path=st.sampled_from(paths(document())), value=odd_values, delete=st.booleans())
def test_any_changed_document_is_either_read_exactly_or_refused(
    path: tuple[Any, ...], value: Any, delete: bool
) -> None:
    whole = copy.deepcopy(document())
    place: Any = whole
    for step in path[:-1]:
        place = place[step]
    if delete:
        del place[path[-1]]
    else:
        place[path[-1]] = value
    text = json.dumps(whole)
    try:
        snapshot = NodeSnapshot.decode(text)
    except InvalidSnapshot:
        return
    assert same(snapshot, text)


@given(st.integers(min_value=0), st.binary(min_size=0, max_size=4))
def test_any_damage_to_the_bytes_is_either_harmless_or_refused(at: int, noise: bytes) -> None:
    body = json.dumps(document()).encode()
    at %= len(body)
    try:
        snapshot = NodeSnapshot.decode(body[:at] + noise + body[at + len(noise) :])
    except InvalidSnapshot:
        return
    assert NodeSnapshot.decode(json.dumps(snapshot.encode())) == snapshot
