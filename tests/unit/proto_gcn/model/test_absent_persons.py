"""Absent persons: one row stands for all of them, exactly."""

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from devtools.reference.matrix import MODES
from devtools.reference.pairs import clips, fast, model_config
from proto_gcn.config.train import ModelConfig
from proto_gcn.model.fused.absent_persons import merge_absent
from proto_gcn.model.fused.operations.norm import batch_norm
from proto_gcn.model.head import ProtoGCN

TINY: dict[str, Any] = {
    "base_channels": 8,
    "num_stages": 2,
    "inflate_stages": [2],
    "down_stages": [2],
}
few = settings(max_examples=12, deadline=None)
modes = pytest.mark.parametrize("training", MODES.values(), ids=MODES)
presence = st.lists(st.lists(st.booleans(), min_size=3, max_size=3), min_size=2, max_size=4)


def tiny(**backbone: Any) -> ModelConfig:
    return model_config(classes=3, dim=4, num_prototype=4, **{**TINY, **backbone})


def with_presence(present: list[list[bool]], frames: int = 6) -> Tensor:
    """Return [N, M, T, 25, 3] with zeros for absent persons."""
    mask = torch.tensor(present, dtype=torch.float64)[..., None, None, None]
    torch.manual_seed(1)
    return torch.randn(*mask.shape[:2], frames, 25, 3, dtype=torch.float64) * mask


def results(model: ProtoGCN, x: Tensor) -> dict[str, Tensor]:
    """Losses, logits, gradients and running statistics of one pass."""
    model.zero_grad()
    output = model(x, torch.arange(len(x)) % 3)
    output.loss.backward()
    gradients = {f"grad {name}": p.grad for name, p in model.named_parameters()}
    return {
        "logits": output.logits.detach(),
        "loss": output.loss.detach(),
        **gradients,
        **model.state_dict(),
    }


def assert_same(ours: dict[str, Tensor], theirs: dict[str, Tensor]) -> None:
    for name, value in theirs.items():
        torch.testing.assert_close(
            ours[name], value, rtol=1e-8, atol=1e-8, msg=lambda text, name=name: f"{name}: {text}"
        )


def test_rows_of_the_slots() -> None:
    rows, which = merge_absent(with_presence([[True, False, True], [False, False, True]]))
    assert len(rows) == 4
    assert which.copies == 3
    assert which.row.tolist() == [[0, 3, 1], [3, 3, 2]]
    assert not rows[3].any()
    assert torch.equal(
        which.mean_over_persons(torch.tensor([[3.0], [6.0], [9.0], [30.0]])),
        torch.tensor([[13], [23.0]]),
    )


def test_one_absent_person_alone_and_only_absent_persons() -> None:
    rows, which = merge_absent(with_presence([[True, False, True]]))
    assert (len(rows), which.copies) == (3, 1)
    rows, which = merge_absent(torch.zeros(2, 2, 4, 25, 3))
    assert (len(rows), which.copies, which.row.tolist()) == (1, 4, [[0, 0], [0, 0]])


@modes
@given(present=presence)
@few
def test_merging_absent_persons_changes_nothing(training: bool, present: list[list[bool]]) -> None:
    both = [fast(tiny()).double().train(training) for _ in range(2)]
    both[1].backbone.merge_absent = False
    x = with_presence(present)
    assert_same(*(results(model, x) for model in both))


@modes
@given(present=presence, orders=st.lists(st.permutations(range(3)), min_size=4, max_size=4))
@few
def test_the_order_of_persons_in_each_sample_changes_nothing(
    training: bool, present: list[list[bool]], orders: list[list[int]]
) -> None:
    """Absent ones among them: zeros may stand before, between or after the persons."""
    x = with_presence(present)
    reordered = torch.stack([clip[order] for clip, order in zip(x, orders, strict=False)])
    assert_same(*(results(fast(tiny()).double().train(training), clip) for clip in (x, reordered)))


@modes
@given(present=presence, slots=st.integers(1, 3))
@few
def test_logits_are_the_mean_over_all_slots_including_empty_ones(
    training: bool, present: list[list[bool]], slots: int
) -> None:
    """With each slot as a sample of its own, batch statistics, gradients and results are equal."""
    x = with_presence(present)
    padded = torch.cat([x, torch.zeros(len(x), slots, *x.shape[2:], dtype=x.dtype)], dim=1)
    gain = torch.randn(len(x), 3, dtype=torch.float64)
    seen = []
    for shape in ((len(x), 3 + slots), (len(x) * (3 + slots), 1)):
        model = fast(tiny()).double().train(training)
        logits = (
            model(padded.reshape(*shape, *x.shape[2:])).logits.unflatten(0, (len(x), -1)).mean(1)
        )
        (logits * gain).sum().backward()
        gradients = {
            f"grad {name}": p.grad for name, p in model.named_parameters() if p.grad is not None
        }
        seen.append({"logits": logits.detach(), **gradients, **model.state_dict()})
    assert seen[0].keys() == seen[1].keys()
    assert_same(*seen)


@given(present=presence, slots=st.integers(1, 3))
@few
def test_empty_slots_change_logits_only_through_the_mean_over_persons(
    present: list[list[bool]], slots: int
) -> None:
    """In eval mode: pooled features of M persons and of s empty slots are (M p + s e) / (M + s)."""
    model, x = fast(tiny()).double().eval(), with_presence(present)
    empty = torch.zeros(len(x), slots, *x.shape[2:], dtype=x.dtype)
    with torch.no_grad():
        persons, nobody = model(x).logits, model(empty).logits
        padded = model(torch.cat([x, empty], dim=1)).logits
    torch.testing.assert_close(
        padded, (3 * persons + slots * nobody) / (3 + slots), rtol=1e-8, atol=1e-8
    )


@given(views=st.integers(1, 12), persons=st.sampled_from([[1], [2], [1, 2]]))
@few
def test_any_number_of_clips_scores_as_each_clip_alone(views: int, persons: list[int]) -> None:
    model = fast(tiny()).double().eval()
    x = clips(views, 6, 25, persons, torch.float64)
    alone = torch.stack([torch.softmax(model(clip[None]).logits, 1)[0] for clip in x]).mean(0)
    torch.testing.assert_close(model.scores(x[None])[0], alone, rtol=1e-8, atol=1e-8)
    torch.testing.assert_close(model.scores(x.flip(0)[None])[0], alone, rtol=1e-8, atol=1e-8)


@modes
@given(copies=st.integers(1, 9), rows=st.integers(2, 4), shape=st.sampled_from([(5,), (3, 4)]))
@few
def test_a_weighted_row_counts_as_that_many_rows(
    training: bool, copies: int, rows: int, shape: tuple[int, ...]
) -> None:
    torch.manual_seed(rows)
    x, gain = (torch.randn(rows, 3, *shape, dtype=torch.float64) for _ in range(2))
    shift = torch.randn(3, dtype=torch.float64, requires_grad=True)
    plain, weighted = (norm_for(shape).train(training) for _ in range(2))
    x.requires_grad_()
    expanded = torch.cat([x, *[x[-1:]] * (copies - 1)])
    gains = torch.cat([gain, *[gain[-1:]] * (copies - 1)])
    wanted = (torch.relu(plain(expanded + shift.view(-1, *[1] * len(shape)))) * gains).sum()
    once = torch.cat([gain[:-1], gain[-1:] * copies])
    ours = (batch_norm(weighted, x, copies, shift, relu=True) * once).sum()
    torch.testing.assert_close(ours, wanted)
    for mine, theirs in zip(
        *(torch.autograd.grad(y, [x, shift], retain_graph=True) for y in (ours, wanted)),
        strict=True,
    ):
        torch.testing.assert_close(mine, theirs)
    for mine, theirs in zip(weighted.buffers(), plain.buffers(), strict=True):
        torch.testing.assert_close(mine, theirs)


def norm_for(shape: tuple[int, ...]) -> nn.BatchNorm1d | nn.BatchNorm2d:
    norm = (nn.BatchNorm1d if len(shape) == 1 else nn.BatchNorm2d)(3).double()
    with torch.no_grad():
        norm.weight.copy_(torch.tensor([0.5, -1.5, 2.0]))
        norm.bias.copy_(torch.tensor([0.1, 0.2, -0.3]))
        norm.running_mean.copy_(torch.tensor([1.0, 0.0, -1.0]))
        norm.running_var.copy_(torch.tensor([0.5, 1.0, 3.0]))
    return norm
