"""A classifier of the end of a clip, for tasks that ask for what came long before."""

from typing import Any

from mmaction.models import I3DHead
from mmaction.registry import MODELS
from torch import Tensor


@MODELS.register_module()
class LastFrameHead(I3DHead):
    """A classifier of the end of a clip: of the last of the maps along time.

    I3DHead takes the mean over all of them, and sees what was long ago by that alone.
    The arguments are those of I3DHead.
    """

    def forward(self, x: Tensor, **kwargs: Any) -> Tensor:
        """(N, C, T, H, W) → (N, classes)."""
        return super().forward(x[:, :, -1:], **kwargs)
