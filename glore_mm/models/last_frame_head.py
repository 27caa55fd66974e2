"""A classifier of the last frame, for tasks that depend on much earlier frames."""

from typing import Any

from mmaction.models import I3DHead
from mmaction.registry import MODELS
from torch import Tensor


@MODELS.register_module()
class LastFrameHead(I3DHead):
    """A classifier of the last feature map along time.

    I3DHead averages over time, and so has access to early frames without a context
    module. The arguments are those of I3DHead.
    """

    def forward(self, x: Tensor, **kwargs: Any) -> Tensor:
        """(N, C, T, H, W) → (N, classes)."""
        return super().forward(x[:, :, -1:], **kwargs)
