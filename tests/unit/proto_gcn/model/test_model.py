from pathlib import Path

import pytest
import torch

from proto_gcn.config.train import GraphConfig, ModelConfig, TrainConfig
from proto_gcn.model.graph import initial_adjacency
from proto_gcn.model.head import ProtoGCN
from proto_gcn.skeleton import NTU

PUBLISHED = Path(__file__).with_name("published_keys.txt")


def test_full_width_network_has_the_published_keys_shapes_and_order() -> None:
    model = ProtoGCN(ModelConfig())
    ours = [" ".join([key, *map(str, value.shape)]) for key, value in model.state_dict().items()]
    assert ours == PUBLISHED.read_text().splitlines()
    assert len(ours) == 843


def test_shapes_of_features_topology_graph_and_logits(small_model: ProtoGCN) -> None:
    clips = torch.randn(3, 2, 9, 25, 3)
    trunk = small_model.backbone(clips)
    assert trunk.features.shape == (3, 2, 16, 5, 25)  # 9 frames halved upwards
    topology = small_model.backbone.topology(trunk)
    assert topology.shape == (3, 16, 25, 25)
    assert small_model.backbone.graph(topology).shape == (3, 625)
    assert small_model(clips).logits.shape == (3, 4)


def test_loss_is_cross_entropy_plus_weighted_contrast_and_reaches_every_used_parameter(
    small_model: ProtoGCN,
) -> None:
    output = small_model(torch.randn(4, 2, 8, 25, 3), torch.tensor([0, 1, 2, 3]))
    assert output.loss == output.cross_entropy + 0.2 * output.contrastive
    output.loss.backward()
    idle = [
        name
        for name, p in small_model.named_parameters()
        if p.grad is None or not p.grad.abs().sum() > 0
    ]
    assert [name for name in idle if not taken_away_by_a_batch_mean(name)] == []


def taken_away_by_a_batch_mean(name: str) -> bool:
    """Whether it is the bias of a convolution that a batch norm follows."""
    convs = (
        "pre.0",
        "post",
        "down.0",
        "transform.2",
        "residual.conv",
        *(f"branches.{i}.0" for i in range(5)),
    )
    return name.endswith(tuple(f"{conv}.bias" for conv in convs))


def test_only_the_first_alpha_and_beta_are_used(small_model: ProtoGCN) -> None:
    small_model(torch.randn(4, 2, 8, 25, 3), torch.tensor([0, 1, 2, 3])).loss.backward()
    unit = small_model.backbone.gcn[0].gcn
    for quirk in (unit.alpha, unit.beta):
        assert quirk.grad[0] != 0
        assert not quirk.grad[1:].any()


def test_logits_do_not_depend_on_the_prototypes(small_model: ProtoGCN) -> None:
    small_model.eval()
    clips = torch.randn(2, 2, 8, 25, 3)
    before = small_model(clips).logits
    for part in (
        small_model.backbone.prn,
        small_model.backbone.post,
        small_model.cls_head.csc_loss,
    ):
        for parameter in part.parameters():
            parameter.data.zero_()
    assert torch.equal(small_model(clips).logits, before)


def test_the_order_of_persons_does_not_matter(small_model: ProtoGCN) -> None:
    small_model.eval()
    clips = torch.randn(2, 2, 8, 25, 3)
    torch.testing.assert_close(small_model(clips.flip(1)).logits, small_model(clips).logits)


def test_graph_is_constant_at_the_start_because_alpha_and_beta_are_zero(
    config: TrainConfig,
) -> None:
    backbone = ProtoGCN(config.model).eval().backbone
    graph = backbone.graph(backbone.topology(backbone(torch.randn(2, 2, 8, 25, 3))))
    assert graph.max() - graph.min() < 1e-6


def test_input_batch_norm_is_joint_major(small_model: ProtoGCN) -> None:
    backbone = small_model.backbone.eval()
    scale = torch.arange(75.0)
    norm = backbone.data_bn
    norm.weight.data, norm.bias.data = scale, torch.zeros(75)
    norm.running_mean.zero_(), norm.running_var.fill_(1 - norm.eps)
    normalised = backbone.normalised(torch.ones(1, 2, 4, 25, 3))
    torch.testing.assert_close(normalised[1, :, 3, :].T, scale.view(25, 3))  # [V, C]


def test_scores_are_the_mean_probability_over_the_clips(small_model: ProtoGCN) -> None:
    small_model.eval()
    clips = torch.randn(2, 3, 2, 8, 25, 3)
    each = torch.stack([torch.softmax(small_model(clips[:, n]).logits, 1) for n in range(3)])
    torch.testing.assert_close(small_model.scores(clips), each.mean(0))


@pytest.mark.parametrize("kind", ["MVC", "none"])
def test_other_input_batch_norms(kind: str, config: TrainConfig) -> None:
    raw = config.model.model_dump()
    raw["backbone"]["data_bn_type"] = kind
    model = ProtoGCN(ModelConfig.model_validate(raw))
    assert model(torch.randn(2, 2, 8, 25, 3)).logits.shape == (2, 4)
    assert [p.numel() for p in model.backbone.data_bn.parameters()] == (
        [150, 150] if kind == "MVC" else []
    )


def test_random_adjacency_is_drawn_once_for_all_blocks(
    small_model: ProtoGCN, config: TrainConfig
) -> None:
    fresh = ProtoGCN(config.model).backbone.gcn
    assert all(torch.equal(block.gcn.A, fresh[0].gcn.A) for block in fresh)
    assert fresh[0].gcn.A is not fresh[1].gcn.A
    assert abs(fresh[0].gcn.A.mean() - 0.04) < 0.002


def test_spatial_adjacency_is_self_inward_outward() -> None:
    own, inward, outward = initial_adjacency(GraphConfig(mode="spatial", num_filter=3))
    layout = NTU
    assert (layout.centre, layout.joints, len(layout.edges)) == (20, 25, 24)
    assert torch.equal(own, torch.eye(25))
    assert inward[20, 4] == 1  # edge 4 -> 20: M[20, 4] is 4's only way inward
    assert outward[4, 20] == 0.25  # 20 has four children
    assert torch.equal(inward.sum(0), torch.ones(25) - torch.eye(25)[20])
