"""The unit of the release's dual path networks (DPN).

Chen, Li, Xiao, Jin, Yan, Feng: Dual Path Networks. NIPS 2017,
https://arxiv.org/abs/1707.01629. What is known of the unit comes from code that others
have changed: its sizes here are likely, not certain.
"""

import copy
from typing import Any

import torch
from mmengine.registry import MODELS
from torch import Tensor, nn

from glore_mm.registry import GloRe2d
from glore_mm.unit import NormReLUConv


@MODELS.register_module()
class DualPathGloRe2d(GloRe2d):
    """`GloRe2d` over both paths, residual and dense, with a closing layer for each.

    Args:
        in_channels (int): Channels of both paths together.
        residual_channels (int): Those of the residual path, which come first.
        num_states (int, optional): Default: half of the residual path's channels.
        num_nodes (int, optional): Default: a quarter of the residual path's channels.
        kwargs: As for `GloRe2d`, in the form `pre_act=True`.

    Raises:
        ValueError: There are no channels left for the dense path.

    Shape:
        (N, C, H, W) → the same.
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
                f'DualPathGloRe2d: residual_channels must be some of the {in_channels} '
                f'channels, got {residual_channels!r}'
            )
        super().__init__(
            in_channels,
            num_states or residual_channels // 2,
            num_nodes or residual_channels // 4,
            pre_act=True,
            **kwargs,
        )
        sizes = residual_channels, in_channels - residual_channels
        self.conv_extend = _Tails(*(self._tail(size) for size in sizes))
        self.init_weights()

    @property
    def closing_weight(self) -> nn.Parameter:
        """That of the residual path's closing layer."""
        tail: Any = getattr(self.conv_extend, 'residual', self.conv_extend)
        return tail.conv.weight

    def init_weights(self) -> None:
        """As `GloRe2d`, with zero for both closing layers."""
        super().init_weights()
        for tail in self.conv_extend.children():
            if isinstance(tail, NormReLUConv):
                nn.init.zeros_(tail.conv.weight)

    def _tail(self, channels: int) -> NormReLUConv:
        conv = nn.Conv2d(self.num_states, channels, kernel_size=1, bias=False)
        return NormReLUConv(copy.deepcopy(self.conv_extend.norm), conv, self.dim)


class _Tails(nn.Module):
    """One layer for each path, their outputs joined."""

    def __init__(self, residual: NormReLUConv, dense: NormReLUConv) -> None:
        super().__init__()
        self.residual = residual
        self.dense = dense

    def forward(self, x: Tensor) -> Tensor:
        """(N, S, H, W) → (N, C, H, W)."""
        return torch.cat([self.residual(x), self.dense(x)], dim=1)
