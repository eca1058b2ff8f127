"""The metrics, compared with torchmetrics and with numbers computed by hand."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torchmetrics.functional.classification import (
    multiclass_accuracy,
    multiclass_confusion_matrix,
    multiclass_recall,
)

from proto_gcn.config.train import EvaluationConfig
from proto_gcn.evaluation.metrics import confusion, mean_class, measure, measure_all, recalls, top_k


@st.composite
def scored(draw: st.DrawFn) -> tuple[Tensor, Tensor]:
    """Draw scores [N, L] and labels [N].

    The scores have few levels, so that ties are common, and some classes never occur.
    """
    classes, samples = draw(st.integers(2, 9)), draw(st.integers(1, 30))
    levels = draw(st.integers(1, 4))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**31)))
    scores = torch.randint(0, levels, (samples, classes), generator=generator) / levels
    occurring = draw(st.integers(1, classes))
    return scores, torch.randint(0, occurring, (samples,), generator=generator)


@settings(deadline=None)
@given(scored())
def test_the_metrics_equal_torchmetrics(made: tuple[Tensor, Tensor]) -> None:
    scores, labels = made
    classes = scores.shape[1]
    for k in {1, 2, min(5, classes)}:
        theirs = multiclass_accuracy(scores, labels, classes, average="micro", top_k=k)
        assert top_k(scores, labels, k) == pytest.approx(100 * theirs.item(), abs=1e-4)
    theirs = multiclass_recall(scores, labels, classes, average="macro")
    assert mean_class(scores, labels) == pytest.approx(100 * theirs.item(), abs=1e-4)
    assert torch.equal(
        confusion(scores, labels), multiclass_confusion_matrix(scores, labels, classes)
    )


def test_top_5_is_100_with_fewer_than_five_classes() -> None:
    assert measure_all(torch.eye(3), torch.tensor([1, 0, 2])) == {
        "top1": pytest.approx(100 / 3),
        "top5": 100,
        "mean_class": pytest.approx(100 / 3),
    }


def test_a_class_without_samples_has_no_recall() -> None:
    found = recalls(confusion(torch.eye(3)[[0, 0, 2]], torch.tensor([0, 0, 0]))).tolist()
    assert found[0] == pytest.approx(2 / 3)
    assert np.isnan(found[1:]).all()


def test_the_config_selects_the_metrics() -> None:
    scores = torch.tensor([[4, 3, 2, 1], [1, 4, 3, 2], [1, 4, 2, 3], [4, 3, 1, 2]], dtype=float)
    labels = torch.tensor([0, 1, 2, 2])  # ranks 1, 1, 3 and 4
    config = EvaluationConfig(topk=[1, 3])
    assert measure(scores, labels, config) == {"top1": 50, "top3": 75}
    both = EvaluationConfig(topk=[1], metrics=["top_k_accuracy", "mean_class_accuracy"])
    mean_of_three = {"top1": 50, "mean_class": pytest.approx(200 / 3)}  # recalls 1, 1 and 0
    assert measure(scores, labels, both) == mean_of_three
