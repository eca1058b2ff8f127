"""Options that fix a published quirk, save memory or use half precision."""

import gc
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from devtools.reference.pairs import clips, fast, model_config
from proto_gcn.model.fused.head import FusedProtoGCN
from proto_gcn.model.fused.operations.recompute import Recipe
from proto_gcn.model.head import Output

TINY: dict[str, Any] = {
    "base_channels": 8,
    "num_stages": 3,
    "inflate_stages": [3],
    "down_stages": [3],
}
LABELS = torch.tensor([0, 1, 2, 0])


def tiny(**backbone: Any) -> FusedProtoGCN:
    return fast(model_config(classes=3, dim=4, num_prototype=4, **{**TINY, **backbone}))


def step(model: FusedProtoGCN, x: Tensor) -> Output:
    model.zero_grad()
    output = model(x, LABELS)
    output.loss.backward()
    return output


def test_each_subset_can_have_scales_of_its_own() -> None:
    model = tiny(gcn_scales="each")
    step(model, clips(4, 6, 25, [2]))
    unit = model.backbone.gcn[0].gcn
    assert unit.alpha.grad.ne(0).all()
    assert unit.beta.grad.ne(0).all()
    with torch.no_grad():
        unit.alpha.copy_(torch.arange(8.0))
        unit.beta.zero_()
    pooled = torch.randn(2, 3, 1, 25)
    each = unit.topology(pooled).unflatten(1, (8, -1))
    with torch.no_grad():
        unit.alpha.fill_(1)
    one = unit.topology(pooled).unflatten(1, (8, -1))
    torch.testing.assert_close(each, torch.arange(8.0).view(8, 1, 1, 1) * one)


def test_without_that_option_the_first_scales_serve_all_subsets() -> None:
    unit = tiny().backbone.gcn[0].gcn
    pooled = torch.randn(2, 3, 1, 25)
    first = unit.topology(pooled)
    with torch.no_grad():
        unit.alpha[1:] = 7
        unit.beta[1:] = 7
    assert torch.equal(unit.topology(pooled), first)


def test_scales_above_zero_give_the_prototypes_a_signal_at_the_start() -> None:
    x = clips(4, 6, 25, [2])
    spread = {}
    for scale in (0.0, 0.5):
        torch.manual_seed(0)
        backbone = FusedProtoGCN(
            model_config(num_prototype=4, **{**TINY, "gcn_scale_init": scale})
        ).backbone
        graph = backbone.graph(backbone.topology(backbone(x)))
        spread[scale] = graph.detach().std(dim=0).mean().item()
    assert spread[0.0] < 1e-6 < 1e-3 < spread[0.5]


def test_the_prototypes_can_see_the_whole_topology() -> None:
    model, x = tiny(prn_input="topology"), clips(2, 6, 25, [1, 2])
    trunk = model.backbone(x)
    whole = model.backbone.topology(trunk)
    model.backbone.prn_input = "refinement"
    adjacency = model.backbone.gcn[-1].gcn.A.repeat_interleave(2, dim=0)
    torch.testing.assert_close(whole, model.backbone.topology(trunk) + adjacency)


@pytest.mark.parametrize("recompute", ["activations", "blocks"])
@pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])
def test_recomputation_gives_the_same_bits(recompute: str, training: bool) -> None:
    x, seen = clips(4, 9, 25, [1, 1, 2]), []
    for kind in ("none", recompute):
        model = tiny().train(training)
        model.backbone.recompute = kind
        loss = step(model, x).loss.detach()
        gradients = {f"grad {name}": p.grad for name, p in model.named_parameters()}
        seen.append({"loss": loss, **gradients, **model.state_dict()})
    assert [name for name, value in seen[0].items() if not torch.equal(value, seen[1][name])] == []


@pytest.mark.parametrize("smaller", [("activations", "none"), ("blocks", "activations")])
def test_recomputation_keeps_less(smaller: tuple[str, str]) -> None:
    model, x = tiny(), clips(4, 30, 25, [2])
    sizes = []
    for model.backbone.recompute in smaller:
        sizes.append(kept_bytes(lambda: model(x, LABELS).loss))
    assert sizes[0] < 0.85 * sizes[1]


def kept_bytes(forward: Callable[[], Tensor]) -> int:
    """Return the bytes of all tensors that are alive after the forward pass and not before."""

    def alive() -> dict[int, int]:
        gc.collect()
        storages = (o.untyped_storage() for o in gc.get_objects() if issubclass(type(o), Tensor))
        return {storage.data_ptr(): storage.nbytes() for storage in storages}

    before = alive()
    loss = forward()
    total = sum(size for pointer, size in alive().items() if pointer not in before)
    del loss
    return total


def test_a_recipe_is_released_by_its_last_taker() -> None:
    made = []
    recipe = Recipe(lambda: made.append(1) or torch.ones(1))
    recipe.promise().promise()
    assert recipe.take() is recipe.take()
    assert len(made) == 1
    with pytest.raises(RuntimeError, match="second backward"):
        recipe.take()


def test_bf16_autocast_is_close_and_compares_in_full_precision() -> None:
    x = clips(4, 16, 25, [1, 2])
    # Gradients of a network eight channels wide are hardly known in bf16.
    model = tiny(base_channels=32).eval()
    exact = step(model, x)
    wanted = {name: p.grad.clone() for name, p in model.named_parameters()}
    model.zero_grad()
    model.memory = tiny(base_channels=32).memory
    with torch.autocast("cpu", torch.bfloat16):
        output = model(x, LABELS)
        features = model.backbone(x).values
    output.loss.backward()
    assert features.dtype == torch.bfloat16
    assert {value.dtype for value in output} == {torch.float32}
    torch.testing.assert_close(output.logits, exact.logits, rtol=0.05, atol=0.05)
    weight = "backbone.gcn.1.tcn.transform.2.weight"
    ours = dict(model.named_parameters())[weight].grad
    assert torch.cosine_similarity(ours.flatten(), wanted[weight].flatten(), dim=0) > 0.99


def test_autocast_statistics_are_float32() -> None:
    model = tiny().train()
    with torch.autocast("cpu", torch.bfloat16):
        step(model, clips(4, 16, 25, [1, 2]))
    dtypes = {
        value.dtype for name, value in model.state_dict().items() if "num_batches" not in name
    }
    assert dtypes == {torch.float32}
    assert {p.grad.dtype for p in model.parameters()} == {torch.float32}
