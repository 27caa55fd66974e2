"""The 3D ResNet of the GloRe release: pre-activation, factorised, "lite".

Source of its structure: the code released with GloRe
(https://github.com/facebookresearch/GloRe, network/resnet50_3d_gcn_x5.py), less the
units, which `WithGloRe` puts in.
"""

from collections import OrderedDict
from collections.abc import Sequence

import torch
from mmaction.registry import MODELS
from mmcv.cnn import ConvModule, build_norm_layer
from mmengine.model import BaseModule
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.checkpoint import checkpoint

_BLOCKS = {50: (3, 4, 6, 3), 101: (3, 4, 23, 3)}


class PreActBlock3d(BaseModule):
    """A bottleneck with norm and ReLU before each convolution, factorised in time.

    Args:
        in_channels (int): Channels of the input.
        mid_channels (int): Channels of the bottleneck; four times as many come out.
        kernel_t (int): Length in time of the first convolution: 3 or 1.
        stride (tuple[int, int, int] | None): Stride of the 1×3×3 convolution and of the
            projection shortcut. None: no stride and no projection.
        norm_cfg (dict): The norms, as in mmcv.
    """

    def __init__(
        self,
        in_channels: int,
        mid_channels: int,
        kernel_t: int,
        stride: tuple[int, int, int] | None,
        norm_cfg: dict,
    ) -> None:
        super().__init__()

        def conv(inputs, outputs, kernel, stride=1):
            return ConvModule(
                inputs,
                outputs,
                kernel,
                stride=stride,
                padding=tuple(size // 2 for size in kernel),
                conv_cfg=dict(type='Conv3d'),
                norm_cfg=norm_cfg,
                order=('norm', 'act', 'conv'),
            )

        out_channels = 4 * mid_channels
        self.conv_m1 = conv(in_channels, mid_channels, (kernel_t, 1, 1))
        self.conv_m2 = conv(mid_channels, mid_channels, (1, 3, 3), stride or 1)
        self.conv_m3 = conv(mid_channels, out_channels, (1, 1, 1))
        self.conv_w1 = (
            conv(in_channels, out_channels, (1, 1, 1), stride) if stride else None
        )

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, T, H, W) → (N, 4 mid, T / stride, H / stride, W / stride)."""
        residual = self.conv_m3(self.conv_m2(self.conv_m1(x)))
        return residual + (x if self.conv_w1 is None else self.conv_w1(x))


@MODELS.register_module()
class PreActResNet3d(BaseModule):
    """The 3D pre-activation ResNet that the GloRe release trains on Kinetics.

    Its names are those of the release, but for layer1 … layer4 (conv2 … conv5), whose
    blocks are numbered from 0 (B01 is 0): `glore_mm.checkpoints` translates.

    Args:
        depth (int): 50 or 101.
        in_channels (int): Channels of the clip. Default: 3.
        base_channels (int): Width of the bottlenecks of layer1, and twice that of the
            stem. Default: 64, that of the release.
        stage_blocks (Sequence[int], optional): Blocks of the four stages, in place of
            those of `depth`.
        norm_cfg (dict): The norms, as in mmcv. Default: batch norm with the release's
            eps.
        norm_eval (bool): Whether norms keep their running statistics while training.
        with_cp (bool): Whether blocks are recomputed in the backward pass, which takes
            less memory and more time.
        init_cfg: Initialisation, as in mmengine. Default: the release's.

    Raises:
        ValueError: `depth` or `stage_blocks` is not as described.

    Shape:
        (N, 3, T, H, W) → (N, 2048, ⌈T / 2⌉, ⌈H / 32⌉, ⌈W / 32⌉).
    """

    def __init__(
        self,
        depth: int = 50,
        in_channels: int = 3,
        base_channels: int = 64,
        stage_blocks: Sequence[int] | None = None,
        norm_cfg: dict = dict(type='BN3d', eps=1e-4),  # noqa: B006, never written
        norm_eval: bool = False,
        with_cp: bool = False,
        init_cfg: dict | list[dict] | None = (  # a tuple, for it is never written
            dict(type='Xavier', layer='Conv3d', distribution='uniform'),
            dict(type='Constant', layer='_BatchNorm', val=1),
        ),
    ) -> None:
        super().__init__(list(init_cfg) if isinstance(init_cfg, tuple) else init_cfg)
        if stage_blocks is None and depth not in _BLOCKS:
            raise ValueError(
                f'PreActResNet3d: depth must be one of {", ".join(map(str, _BLOCKS))}, '
                f'got {depth!r}; for another network give stage_blocks'
            )
        blocks = _BLOCKS[depth] if stage_blocks is None else tuple(stage_blocks)
        if len(blocks) != 4 or min(blocks) < 1:
            raise ValueError(
                'PreActResNet3d: stage_blocks must be the numbers of blocks of four '
                f'stages, each at least 1; got {stage_blocks!r}'
            )
        self.norm_eval = norm_eval
        self.with_cp = with_cp

        channels = base_channels // 2
        # no ConvModule: it would put its own initialisation in place of init_cfg
        self.conv1 = nn.Sequential(
            OrderedDict(
                conv=nn.Conv3d(
                    in_channels, channels, (3, 5, 5), (1, 2, 2), (1, 2, 2), bias=False
                ),
                bn=build_norm_layer(norm_cfg, channels)[1],
                relu=nn.ReLU(inplace=True),
                max_pool=nn.MaxPool3d((1, 3, 3), (1, 2, 2), (0, 1, 1)),
            )
        )
        strides = ((1, 1, 1), (2, 2, 2), (1, 2, 2), (1, 2, 2))
        for stage, number in enumerate(blocks):
            mid_channels = base_channels * 2**stage
            # the blocks that look along time, counted from 0, as the release has them
            even = range(0, number, 2)
            in_time = (range(number), even, even, [1])[stage]
            layers = []
            for i in range(number):
                layers.append(
                    PreActBlock3d(
                        channels,
                        mid_channels,
                        kernel_t=3 if i in in_time else 1,
                        stride=strides[stage] if i == 0 else None,
                        norm_cfg=norm_cfg,
                    )
                )
                channels = 4 * mid_channels
            self.add_module(f'layer{stage + 1}', nn.Sequential(*layers))
        self.tail = nn.Sequential(
            OrderedDict(
                bn=build_norm_layer(norm_cfg, channels)[1],
                relu=nn.ReLU(inplace=True),
            )
        )

    def forward(self, x: Tensor) -> Tensor:
        """(N, 3, T, H, W) → (N, 2048, ⌈T / 2⌉, ⌈H / 32⌉, ⌈W / 32⌉)."""
        x = self.conv1(x)
        for stage in (self.layer1, self.layer2, self.layer3, self.layer4):
            for block in stage:  # a unit among them is a block like any other
                if self.with_cp and torch.is_grad_enabled():
                    x = checkpoint(block, x, use_reentrant=False)
                else:
                    x = block(x)
        return self.tail(x)

    def train(self, mode: bool = True) -> 'PreActResNet3d':
        """Switch mode; with `norm_eval` the norms stay in evaluation."""
        super().train(mode)
        if mode and self.norm_eval:
            for module in self.modules():
                if isinstance(module, _BatchNorm):
                    module.eval()
        return self
