"""The contrastive loss over the samples of all processes."""

from torch import Tensor

from proto_gcn.model.fused.operations.all_reduce import summed
from proto_gcn.model.loss import EPSILON, ContrastiveLoss


class FusedContrastiveLoss(ContrastiveLoss):
    """The plain loss, whose memory is the same in every process."""

    def class_means(self, features: Tensor, recognised: Tensor) -> tuple[Tensor, Tensor]:
        """Return the number of recognised samples of each class [L] and their mean [dim, L]."""
        count = summed(recognised.sum(dim=0))
        return count, summed(features.T @ recognised) / (count + EPSILON)
