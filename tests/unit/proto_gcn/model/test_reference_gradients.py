"""Gradients and steps of the fused network against its formulas (devtools/reference), in float64.

All pairs of T and persons occur; layout and mode take turns over them, so that any two values of
two kinds meet. Gradients are compared with the formulas themselves, three steps with the plain
network, which is several times as fast; test_plain_and_fused.py compares it with the formulas.
"""

import pytest
import torch

from devtools.reference.matrix import (
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
    parameters,
    plain,
    values_and_gradients,
)

CROSSED = [
    pytest.param(
        frames, persons, LAYOUTS[(i + j) % 2], (i // 2 + j) % 2 == 0, id=f"{frames}-{kind}"
    )
    for i, frames in enumerate(FRAMES)
    for j, (kind, persons) in enumerate(PERSONS.items())
]
crossed = pytest.mark.parametrize(("frames", "persons", "layout", "training"), CROSSED)
SGD = {"momentum": 0.9, "weight_decay": 5e-4, "nesterov": True}
#: By mode: in eval mode, where no batch norm bounds them, activations grow with the weights.
RATES = {True: 0.025, False: 0.0005}


def test_the_cases_contain_every_pair_of_two_kinds() -> None:
    cases = [[repr(value) for value in case.values] for case in CROSSED]
    kinds = [len({case[kind] for case in cases}) for kind in range(4)]
    assert kinds == [len(FRAMES), len(PERSONS), len(LAYOUTS), len(MODES)]
    for first in range(4):
        for second in range(first):
            assert (
                len({(case[first], case[second]) for case in cases}) == kinds[first] * kinds[second]
            )


@crossed
def test_gradients(frames: int, persons: list[int], layout: str, training: bool) -> None:
    config = narrow(layout)
    model = fast(config).double().train(training)
    net = formulas(model, config)
    x = clips(len(persons), frames, joints_of(config), persons, torch.float64)
    labels = LABELS[: len(persons)]
    model.memory = net.memory
    assert_close(*(values_and_gradients(network, x, labels) for network in (model, net)), FLOAT64)


@crossed
def test_three_steps(frames: int, persons: list[int], layout: str, training: bool) -> None:
    config = narrow(layout)
    model = fast(config).double().train(training)
    model.memory = model.memory.double()
    networks = model, plain(model, config)
    optimizers = [
        torch.optim.SGD(parameters(network).values(), RATES[training], **SGD)
        for network in networks
    ]
    for step in range(3):
        x = clips(len(persons), frames, joints_of(config), persons, torch.float64)
        labels = LABELS[: len(persons)].roll(step)
        for optimizer in optimizers:
            optimizer.zero_grad()
        assert_close(*(values_and_gradients(network, x, labels) for network in networks), FLOAT64)
        for optimizer in optimizers:
            optimizer.step()
    assert_close(*(parameters(network) for network in networks), FLOAT64)


def test_gradients_at_full_width_and_depth() -> None:
    config = model_config(num_prototype=100)
    model = fast(config).double().train()
    model.memory = model.memory.double()
    twin, x = plain(model, config), clips(2, 50, 25, [1, 2], torch.float64)
    assert_close(
        *(values_and_gradients(network, x, LABELS[:2]) for network in (model, twin)), FLOAT64
    )
