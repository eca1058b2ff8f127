"""Proto-GCN as its formulas read, over loops on a plain dict of parameters: the slow oracle.

It shares no code with the product. The formulas are those of the paper (CVPR 2025, arXiv
2411.18941) and of the published code (github.com/firework8/ProtoGCN). Letters: N samples, M
persons, T frames, V joints, B = N*M rows, K subsets of mid channels. The dict has the names and
shapes of the published checkpoints; widths and depth are read from the shapes.
"""

from dataclasses import dataclass, field

import torch
from torch import Tensor

EPS, MOMENTUM = 1e-5, 0.1
BRANCHES = 6


@dataclass
class Network:
    """Parameters and running statistics by name, and what no shape shows."""

    state: dict[str, Tensor]
    memory: Tensor  # F [dim, L]
    training: bool
    strides: list[int]  # of each block
    persons_in_norm: bool = False  # data_bn MVC
    scale_of_each_subset: bool = False  # gcn_scales each; else alpha[0] and beta[0] serve all
    prototypes_see_adjacency: bool = False  # prn_input topology
    weight: float = 0.2
    temperature: float = 0.125
    momentum: float = 0.9
    seen: dict[str, Tensor] = field(default_factory=dict)  # results of the last pass by name

    def __getitem__(self, name: str) -> Tensor:
        return self.state[name]

    def __contains__(self, name: str) -> bool:
        return f"{name}.weight" in self.state


def losses(net: Network, clips: Tensor, labels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return loss, cross-entropy and contrastive loss of clips [N, M, T, V, C].

    `seen` keeps logits, features and graph.
    """
    logits = forward(net, clips)
    cross_entropy = mean_cross_entropy(logits, labels)
    contrastive = contrast(net, net.seen["graph"], labels, logits.detach())
    return cross_entropy + net.weight * contrastive, cross_entropy, contrastive


def forward(net: Network, clips: Tensor) -> Tensor:
    """Return logits [N, L]."""
    samples, persons = clips.shape[:2]
    h = input_norm(net, clips)
    for i, stride in enumerate(net.strides):
        h, topology = block(net, f"backbone.gcn.{i}", h, stride, first=i == 0)
    features = h.reshape(samples, persons, *h.shape[1:])
    net.seen["features"] = features
    net.seen["graph"] = prototype_graph(
        net, topology.reshape(samples, persons, *topology.shape[1:])
    )
    pooled = torch.stack(
        [sum(features[n, m].mean((1, 2)) for m in range(persons)) / persons for n in range(samples)]
    )
    logits = pooled @ net["cls_head.fc_cls.weight"].T + net["cls_head.fc_cls.bias"]
    net.seen["logits"] = logits
    return logits


def norm(net: Network, name: str, x: Tensor) -> Tensor:
    """Return the batch norm over all axes of x [B, C, ...] but the channels."""
    kept = [net[f"{name}.{key}"] for key in ("weight", "bias", "running_mean", "running_var")]
    out, found = [], []
    for values, scale, shift, mean, variance in zip(x.unbind(1), *kept, strict=True):
        if net.training:
            mean = values.mean()
            variance = ((values - mean) ** 2).mean()
            found.append(torch.stack([mean, variance]).detach())
        out.append((values - mean) / torch.sqrt(variance + EPS) * scale + shift)
    if net.training:
        note_statistics(net, name, *torch.stack(found, dim=1), x[:, 0].numel())
    return torch.stack(out, dim=1)


def note_statistics(net: Network, name: str, mean: Tensor, variance: Tensor, count: int) -> None:
    """Move the running statistics."""
    unbiased = variance * count / (count - 1)
    for key, value in (("running_mean", mean), ("running_var", unbiased)):
        running = net[f"{name}.{key}"]
        running.copy_((1 - MOMENTUM) * running + MOMENTUM * value)
    net[f"{name}.num_batches_tracked"].add_(1)


def conv1x1(net: Network, name: str, x: Tensor) -> Tensor:
    weight, bias = net[f"{name}.weight"], net[f"{name}.bias"]
    return torch.einsum("oc,bctv->botv", weight[:, :, 0, 0], x) + bias[None, :, None, None]


def relu(x: Tensor) -> Tensor:
    return torch.where(x > 0, x, 0)


def input_norm(net: Network, clips: Tensor) -> Tensor:
    """Map [N, M, T, V, C] to [B, C, T, V]; the norm's channels are v*C + c, or m*V*C + v*C + c."""
    n, m, t, v, c = clips.shape
    if "backbone.data_bn" not in net:
        return clips.reshape(n * m, t, v, c).permute(0, 3, 1, 2)
    by_channel = clips.permute(0, 1, 3, 4, 2)
    rows = (
        by_channel.reshape(n, m * v * c, t)
        if net.persons_in_norm
        else by_channel.reshape(n * m, v * c, t)
    )
    return norm(net, "backbone.data_bn", rows).reshape(n * m, v, c, t).permute(0, 2, 3, 1)


def block(net: Network, name: str, h: Tensor, stride: int, first: bool) -> tuple[Tensor, Tensor]:
    mixed, topology = graph_unit(net, f"{name}.gcn", h)
    out = temporal_unit(net, f"{name}.tcn", mixed, stride)
    if f"{name}.residual.conv" in net:
        out = out + norm(
            net, f"{name}.residual.bn", conv1x1(net, f"{name}.residual.conv", h[:, :, ::stride])
        )
    elif not first:
        out = out + h
    return relu(out), topology


def graph_unit(net: Network, name: str, h: Tensor) -> tuple[Tensor, Tensor]:
    """Return the features and what prototypes see of the topology, [B, K*mid, V, V].

    That is inter + intra without A, with an option A too.
    """
    residual = (
        norm(net, f"{name}.down.1", conv1x1(net, f"{name}.down.0", h))
        if f"{name}.down.0" in net
        else h
    )
    hidden = relu(norm(net, f"{name}.pre.1", conv1x1(net, f"{name}.pre.0", h)))
    a, b = (conv1x1(net, f"{name}.{conv}", h).mean(2) for conv in ("conv1", "conv2"))
    adjacency = net[f"{name}.A"]
    by_subset = [tensor.unflatten(1, (len(adjacency), -1)) for tensor in (hidden, a, b)]
    y, topology = [], []
    for person in zip(*by_subset, strict=True):
        parts = zip(*person, adjacency, strict=True)  # each [mid, ...], and [V, V]
        for k, (p, a, b, start) in enumerate(parts):
            own = refinement(a, b, *scales(net, name, k))
            topology.append(own + start if net.prototypes_see_adjacency else own)
            y.append(torch.einsum("mtv,mvw->mtw", p, own + start))
    mixed = torch.stack(y).reshape(hidden.shape)
    out = relu(norm(net, f"{name}.bn", conv1x1(net, f"{name}.post", mixed)) + residual)
    return out, torch.stack(topology).reshape(*hidden.shape[:2], *adjacency.shape[1:])


def scales(net: Network, name: str, subset: int) -> tuple[Tensor, Tensor]:
    """Return the subset's alpha and beta; without the option those of the first serve all."""
    index = subset if net.scale_of_each_subset else 0
    return net[f"{name}.alpha"][index], net[f"{name}.beta"][index]


def refinement(a: Tensor, b: Tensor, alpha: Tensor, beta: Tensor) -> Tensor:
    """Map a, b [mid, V] of one subset to [mid, V, V]."""
    scores = torch.einsum("mv,mw->vw", a, b)
    shares = (scores - scores.max(0).values).exp()  # without the greatest, exp could overflow
    inter = torch.tanh(a[:, :, None] - b[:, None, :])
    return alpha * inter + beta * shares / shares.sum(0)


def temporal_unit(net: Network, name: str, h: Tensor, stride: int) -> Tensor:
    wide = torch.cat([h, h.mean(3, keepdim=True)], dim=3)
    parts = []
    for i in range(BRANCHES):
        branch = f"{name}.branches.{i}"
        if i == BRANCHES - 1:
            parts.append(conv1x1(net, branch, wide[:, :, ::stride]))
            continue
        reduced = relu(norm(net, f"{branch}.1", conv1x1(net, f"{branch}.0", wide)))
        parts.append(
            max_pool(reduced, stride)
            if i == 4
            else time_conv(net, f"{branch}.3.conv", reduced, i + 1, stride)
        )
    joined = torch.cat(parts, dim=1)
    *local, whole = joined.unbind(3)
    columns = [column + whole * net[f"{name}.add_coeff"][v] for v, column in enumerate(local)]
    hidden = relu(norm(net, f"{name}.transform.0", torch.stack(columns, dim=3)))
    return norm(net, f"{name}.bn", conv1x1(net, f"{name}.transform.2", hidden))


def time_conv(net: Network, name: str, x: Tensor, dilation: int, stride: int) -> Tensor:
    weights, frames = net[f"{name}.weight"][..., 0].unbind(2), x.unbind(2)
    out = []
    for t in range(0, len(frames), stride):
        taps = [(weight, t + (tap - 1) * dilation) for tap, weight in enumerate(weights)]
        seen = [
            torch.einsum("oc,bcv->bov", weight, frames[s])
            for weight, s in taps
            if 0 <= s < len(frames)
        ]
        out.append(sum(seen) + net[f"{name}.bias"][None, :, None])
    return torch.stack(out, dim=2)


def max_pool(x: Tensor, stride: int) -> Tensor:
    frames = x.unbind(2)
    windows = [torch.stack(frames[max(0, t - 1) : t + 2]) for t in range(0, len(frames), stride)]
    return torch.stack([window.max(dim=0).values for window in windows], dim=2)


def prototype_graph(net: Network, topology: Tensor) -> Tensor:
    """Map [N, M, C, V, V] to [N, V*V], one sample after the other."""
    rebuilt = []
    for sample in topology.mean(1):
        rebuilt.append(reconstruction(net, "backbone.prn", sample.flatten(1)).reshape(sample.shape))
    mixed = relu(norm(net, "backbone.bn", conv1x1(net, "backbone.post", torch.stack(rebuilt))))
    return mixed.mean(1).flatten(1)


def reconstruction(net: Network, name: str, relations: Tensor) -> Tensor:
    """Map relations [C, pairs] of one sample to mixtures of prototypes, pair by pair."""
    query, memory = net[f"{name}.query_matrix.weight"], net[f"{name}.memory_matrix.weight"]
    responses = [torch.softmax(query @ relation, dim=0) for relation in relations.unbind(1)]
    return torch.stack([memory @ response for response in responses], dim=1)


def contrast(net: Network, graph: Tensor, labels: Tensor, logits: Tensor) -> Tensor:
    """Return the class-specific contrastive loss; moves F."""
    f = graph @ net["cls_head.csc_loss.cl_fc.weight"].T + net["cls_head.csc_loss.cl_fc.bias"]
    columns = []
    for label in range(net.memory.shape[1]):
        mine = [f[i] for i in range(len(f)) if labels[i] == label and logits[i].argmax() == label]
        old = net.memory[:, label]
        mean = sum(mine) / (len(mine) + 1e-12) if mine else old
        columns.append(net.momentum * old + (1 - net.momentum) * mean if mine else old)
    memory = torch.stack(columns, dim=1)
    net.memory = memory.detach()
    rows = f / (f.norm(dim=1, keepdim=True) + 1e-12)
    return mean_cross_entropy(
        rows @ (memory / (memory.norm(dim=0) + 1e-12)) / net.temperature, labels
    )


def mean_cross_entropy(scores: Tensor, labels: Tensor) -> Tensor:
    return sum(
        torch.logsumexp(row, 0) - row[label] for row, label in zip(scores, labels, strict=True)
    ) / len(labels)
