"""The two forms of the reference against each other, formulas over loops and PyTorch's layers."""

import pytest
import torch

from devtools.reference.matrix import FLOAT64, LABELS, MODES, assert_close, joints_of, narrow
from devtools.reference.pairs import batched, clips, fast, formulas, values_and_gradients


@pytest.mark.parametrize("training", MODES.values(), ids=MODES)
@pytest.mark.parametrize("layout", ["nturgb+d", "coco_new", "custom"])
def test_the_batched_form_is_the_formulas(layout: str, training: bool) -> None:
    config = narrow(layout)
    model = fast(config).double().train(training)
    networks = formulas(model, config), batched(model, config)
    x = clips(3, 11, joints_of(config), [1, 2], torch.float64)
    assert_close(*(values_and_gradients(network, x, LABELS) for network in networks), FLOAT64)
