"""The plain network against the formulas (devtools/reference), and the fused one against it."""

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from devtools.reference.matrix import (
    FLOAT32,
    FLOAT64,
    FRAMES,
    LABELS,
    LAYOUTS,
    MODES,
    PERSONS,
    assert_close,
    joints_of,
    narrow,
)
from devtools.reference.pairs import (
    clips,
    fast,
    formulas,
    model_config,
    plain,
    values,
    values_and_gradients,
)
from proto_gcn.config.train import ModelConfig
from proto_gcn.model.fused.head import FusedProtoGCN
from proto_gcn.model.head import ProtoGCN

modes = pytest.mark.parametrize("training", MODES.values(), ids=MODES)
OPTIONS: dict[str, dict[str, Any]] = {
    "MVC": {"data_bn_type": "MVC"},
    "no input norm": {"data_bn_type": "none"},
    "spatial": {"graph_cfg": {"mode": "spatial", "num_filter": 3}},
    "one subset": {"graph_cfg": {"num_filter": 1}},
    "twelve subsets": {"graph_cfg": {"num_filter": 12}},
    "scales of each": {"gcn_scales": "each"},
    "topology": {"prn_input": "topology"},
}
options = pytest.mark.parametrize("option", OPTIONS.values(), ids=OPTIONS)


def test_both_have_the_same_parameters_in_the_same_order_from_the_same_seed() -> None:
    states = []
    for network in (ProtoGCN, FusedProtoGCN):
        torch.manual_seed(0)
        states.append(network(narrow(graph_cfg={"mode": "spatial", "num_filter": 3})).state_dict())
    assert list(states[0]) == list(states[1])
    assert [key for key, value in states[0].items() if not torch.equal(value, states[1][key])] == []


@modes
@pytest.mark.parametrize("layout", [*LAYOUTS, "custom"])
def test_the_plain_network_computes_the_formulas(layout: str, training: bool) -> None:
    assert_all_alike(narrow(layout), training)


@modes
@options
def test_every_option_is_the_same_in_formulas_plain_and_fused_network(
    option: dict[str, Any], training: bool
) -> None:
    assert_all_alike(narrow(**option), training)


def assert_all_alike(config: ModelConfig, training: bool) -> None:
    """Compare values and gradients of one pass, in float64."""
    model = fast(config).double().train(training)
    model.memory = model.memory.double()
    networks = formulas(model, config), plain(model, config), model
    x = clips(3, 11, joints_of(config), [1, 2], torch.float64)
    wanted, *found = (values_and_gradients(network, x, LABELS) for network in networks)
    for one in found:
        assert_close(one, wanted, FLOAT64)


@modes
@pytest.mark.parametrize("persons", PERSONS.values(), ids=PERSONS)
@pytest.mark.parametrize("frames", FRAMES)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_fused_network_has_the_values_of_the_plain_one(
    layout: str, frames: int, persons: list[int], training: bool
) -> None:
    """Without gradients, where norms go into convolutions; with them: three steps, below."""
    config = narrow(layout)
    model, labels = fast(config).train(training), LABELS[: len(persons)]
    twin = plain(model, config)
    x = clips(len(persons), frames, joints_of(config), persons)
    with torch.no_grad():
        assert_close(values(model, x, labels), values(twin, x, labels), FLOAT32)


@modes
@given(present=st.lists(st.lists(st.booleans(), min_size=3, max_size=3), min_size=2, max_size=4))
@settings(max_examples=12, deadline=None)
def test_absent_persons_are_computed_once_or_each_with_the_same_result(
    training: bool, present: list[list[bool]]
) -> None:
    config = model_config(classes=3, dim=4, num_prototype=4, base_channels=8, num_stages=2)
    model = fast(config).double().train(training)
    model.memory = model.memory.double()
    mask = torch.tensor(present, dtype=torch.float64)[..., None, None, None]
    x = torch.randn(*mask.shape[:2], 6, 25, 3, dtype=torch.float64) * mask
    labels = torch.arange(len(x)) % 3
    networks = model, plain(model, config)
    assert_close(*(values_and_gradients(network, x, labels) for network in networks), FLOAT64)


def test_scores_of_ten_clips_and_topologies_of_the_first_person_are_alike() -> None:
    config = narrow()
    model = fast(config).eval()
    twin = plain(model, config)
    x = clips(20, 100, 25, [1] * 10 + [2] * 10)
    views = x.unflatten(0, (2, 10))
    torch.testing.assert_close(model.scores(views), twin.scores(views), **FLOAT32)
    with torch.no_grad():
        ours, theirs = (network.backbone(x).first_person(every=10) for network in (model, twin))
    assert ours.shape == (2, model.backbone.post.in_channels, 25, 25)
    torch.testing.assert_close(ours, theirs, **FLOAT32)


def test_under_bf16_autocast_losses_are_close_and_in_full_precision() -> None:
    config = narrow(base_channels=32)
    model = fast(config).eval()
    x, outputs = clips(3, 16, 25, [1, 2]), []
    for network in (model, plain(model, config)):
        with torch.autocast("cpu", torch.bfloat16):
            outputs.append(network(x, LABELS))
        outputs[-1].loss.backward()
        assert {value.dtype for value in outputs[-1]} == {torch.float32}
        assert network.memory.dtype == torch.float32
        assert {p.grad.dtype for p in network.parameters()} == {torch.float32}
    torch.testing.assert_close(*outputs, rtol=0.05, atol=0.05)
