"""The unit of the release's dual path networks (DPN).

Chen, Li, Xiao, Jin, Yan, Feng: Dual Path Networks. NIPS 2017,
https://arxiv.org/abs/1707.01629. The unit is known only from code that others have
modified, so its sizes here are likely, not certain.
"""

from collections.abc import Callable
from typing import Any

import torch
from mmengine.registry import MODELS
from torch import Tensor, nn

from glore_mm.registry import GloRe2d
from glore_mm.unit import Layer


@MODELS.register_module()
class DualPathGloRe2d(GloRe2d):
    """`GloRe2d` over the residual and the dense path, with a closing layer for each.

    Args:
        in_channels (int): Channels of both paths together.
        residual_channels (int): Channels of the residual path, which come first.
        num_states (int, optional): Length of a node's state. Default:
            residual_channels // 2.
        num_nodes (int, optional): Number of nodes. Default: residual_channels // 4.
        kwargs: Other arguments of `GloRe2d`; `pre_act` is True.

    Raises:
        ValueError: `residual_channels` leaves a path without channels.

    Shape:
        Input and output: (N, C, H, W).
    """

    def __init__(
        self,
        in_channels: int,
        residual_channels: int,
        num_states: int | None = None,
        num_nodes: int | None = None,
        **kwargs: Any,
    ) -> None:
        if not 0 < residual_channels < in_channels:
            raise ValueError(
                'DualPathGloRe2d: residual_channels must be between 0 and in_channels='
                f'{in_channels}, both excluded; got {residual_channels!r}'
            )
        # set first: `super().__init__` calls `_make_conv_extend`
        self.residual_channels = residual_channels
        super().__init__(
            in_channels,
            num_states or residual_channels // 2,
            num_nodes or residual_channels // 4,
            pre_act=True,
            **kwargs,
        )

    @property
    def closing_weight(self) -> nn.Parameter:
        """The weight of the closing layer of the residual path."""
        return self.conv_extend.residual.conv.weight

    def init_weights(self) -> None:
        """Initialise as `GloRe2d`; the weights of both closing layers are zero."""
        super().init_weights()
        nn.init.zeros_(self.conv_extend.dense.conv.weight)

    def _make_conv_extend(self, make: Callable[[int], Layer]) -> nn.Module:
        dense_channels = self.in_channels - self.residual_channels
        return _ClosingLayers(make(self.residual_channels), make(dense_channels))


class _ClosingLayers(nn.Module):
    """A layer for each path; their outputs are concatenated."""

    def __init__(self, residual: Layer, dense: Layer) -> None:
        super().__init__()
        self.residual = residual
        self.dense = dense

    def forward(self, x: Tensor) -> Tensor:
        """(N, S, H, W) → (N, C, H, W)."""
        return torch.cat([self.residual(x), self.dense(x)], dim=1)
