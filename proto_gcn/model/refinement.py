"""The sample's own part of a topology: how strongly joint v feeds joint w, besides the learnt A."""

import torch
from torch import Tensor


def refinement(a: Tensor, b: Tensor, alpha: Tensor, beta: Tensor) -> Tensor:
    """Return alpha tanh(a_v - b_w) + beta softmax_v(sum_m a_mv b_mw), [B, K, mid, V, V].

    a and b are [B, K, mid, V]; alpha and beta are [K]. The result is indexed [from v, to w]. The
    first term belongs to each channel; the second is common to the mid channels of a subset. The
    softmax runs over v, the joints that features come from (arXiv 2411.18941).
    """
    inter = torch.tanh(a[..., :, None] - b[..., None, :])
    scores = torch.einsum("bkmv,bkmw->bkvw", a, b)
    intra = torch.softmax(scores, dim=-2)
    own = alpha.view(-1, 1, 1, 1) * inter
    return own + (beta.view(-1, 1, 1) * intra).unsqueeze(2)
