"""Pre-activation ResNets of the GloRe release.

He, Zhang, Ren, Sun: Identity Mappings in Deep Residual Networks. ECCV 2016,
https://arxiv.org/abs/1603.05027. Blocks, "lite" stem, tail and their names follow the
3D networks of the released code (https://github.com/facebookresearch/GloRe), without
the units, which `WithGloRe` inserts. The 2D networks have the same blocks with 2D
convolutions, in the usual sizes.
"""

from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any

import torch
from mmcv.cnn import ConvModule, build_norm_layer
from mmengine.model import BaseModule
from mmengine.registry import MODELS
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.checkpoint import checkpoint

_KAIMING = (  # as in mmpretrain's ResNets; a tuple, because it is a default argument
    dict(type='Kaiming', layer='Conv2d'),
    dict(type='Constant', layer=['_BatchNorm', 'GroupNorm'], val=1),
)


def _norm_act_conv(
    inputs: int,
    outputs: int,
    kernel: tuple[int, ...],
    norm_cfg: dict[str, Any],
    stride: int | tuple[int, ...] = 1,
    dilation: int = 1,
    groups: int = 1,
) -> ConvModule:
    # no dilation along dimensions in which the kernel has size 1, such as time
    dilations = tuple(dilation if size > 1 else 1 for size in kernel)
    return ConvModule(
        inputs,
        outputs,
        kernel,
        stride=stride,
        padding=tuple(d * (k // 2) for d, k in zip(dilations, kernel, strict=True)),
        dilation=dilations,
        groups=groups,
        conv_cfg=dict(type=f'Conv{len(kernel)}d'),
        norm_cfg=norm_cfg,
        order=('norm', 'act', 'conv'),
    )


class PreActBlock(BaseModule):
    """A residual block with norm and ReLU before each convolution.

    Args:
        in_channels (int): Channels of the input.
        convs (Sequence[dict]): The convolutions of the residual branch, in order. Each
            has outputs, kernel (its length is the number of dimensions) and, if not 1,
            stride, dilation, groups.
        stride (int | tuple[int, ...] | None): Stride of the projection shortcut. None:
            an identity shortcut.
        norm_cfg (dict): Config of the norms, as in mmcv.
        se_ratio (int, optional): Reduction ratio of squeeze-and-excitation on the
            residual branch. Default: None, no squeeze-and-excitation.
    """

    def __init__(
        self,
        in_channels: int,
        convs: Sequence[dict[str, Any]],
        stride: int | tuple[int, ...] | None,
        norm_cfg: dict[str, Any],
        se_ratio: int | None = None,
    ) -> None:
        super().__init__()
        self.residual = tuple(f'conv_m{i}' for i in range(1, len(convs) + 1))
        channels = in_channels
        for name, conv in zip(self.residual, convs, strict=True):
            self.add_module(name, _norm_act_conv(channels, norm_cfg=norm_cfg, **conv))
            channels = conv['outputs']
        self.out_channels = channels
        self.conv_w1 = None
        if stride is not None:
            point = (1,) * len(convs[0]['kernel'])
            self.conv_w1 = _norm_act_conv(
                in_channels, channels, point, norm_cfg, stride
            )
        self.se = None
        if se_ratio:
            from torchvision.ops import SqueezeExcitation

            self.se = SqueezeExcitation(channels, channels // se_ratio)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C_in, *spatial) → (N, C_out, *spatial / stride)."""
        residual = x
        for name in self.residual:
            residual = getattr(self, name)(residual)
        if self.se is not None:
            residual = self.se(residual)
        return residual + (x if self.conv_w1 is None else self.conv_w1(x))


class PreActBackbone(BaseModule):
    """Stem, four stages of `PreActBlock`s, tail; use PreActResNet or PreActResNet3d.

    Args:
        in_channels (int): Channels of the input.
        stem_channels (int): Channels of the stem.
        stem_kernel (tuple[int, ...]): Kernel of the convolution of the stem; its length
            is the number of dimensions. The stem reduces the last two dimensions by 4.
        stage_blocks (Sequence[int]): Number of blocks of each of the four stages.
        strides (Sequence[int | tuple[int, ...]]): Stride of each of the four stages.
        residual (Callable): Returns the `convs` of a block. Called with the index of
            the stage, the index of the block, both from 0, and the stride of the block.
        se_ratio (int, optional): See PreActBlock.
        out_indices (Sequence[int]): Indices, from 0, of the stages whose outputs are
            returned.
        frozen_stages (int): Number of frozen stages; the stem is frozen with them. 0
            freezes the stem alone, −1 nothing.
        norm_cfg (dict): Config of the norms, as in mmcv.
        norm_eval (bool): Keep the running statistics of norms fixed in training.
        with_cp (bool): Recompute blocks in the backward pass, which takes less memory
            and more time. Norms then count every batch twice in their running
            statistics.
        init_cfg: Initialisation, as in mmengine.

    Raises:
        ValueError: An argument is not as described.
    """

    blocks: dict[int, tuple[int, int, int, int]]  # depth → blocks of the four stages

    def __init__(
        self,
        in_channels: int,
        stem_channels: int,
        stem_kernel: tuple[int, ...],
        stage_blocks: Sequence[int],
        strides: Sequence[int | tuple[int, ...]],
        residual: Callable[[int, int, int | tuple[int, ...]], list[dict[str, Any]]],
        norm_cfg: dict[str, Any],
        init_cfg: dict[str, Any] | Sequence[dict[str, Any]] | None,
        se_ratio: int | None = None,
        out_indices: Sequence[int] = (3,),
        frozen_stages: int = -1,
        norm_eval: bool = False,
        with_cp: bool = False,
    ) -> None:
        super().__init__(list(init_cfg) if isinstance(init_cfg, tuple) else init_cfg)
        name = type(self).__name__
        if not out_indices or not set(out_indices) <= {0, 1, 2, 3}:
            raise ValueError(
                f'{name}: out_indices must be some of the stages 0 to 3, got '
                f'{out_indices!r}'
            )
        if frozen_stages not in range(-1, 5):
            raise ValueError(
                f'{name}: frozen_stages must be from -1 to 4, got {frozen_stages!r}'
            )
        if len(strides) != 4:
            raise ValueError(
                f'{name}: strides must have a value for each of the four stages, got '
                f'{strides!r}'
            )
        self.out_indices = tuple(out_indices)
        self.frozen_stages = frozen_stages
        self.norm_eval = norm_eval
        self.with_cp = with_cp

        channels, time = stem_channels, (1,) * (len(stem_kernel) - 2)
        # not a ConvModule: that would replace init_cfg by its own initialisation
        conv: Any = nn.Conv3d if time else nn.Conv2d
        pool = nn.MaxPool3d if time else nn.MaxPool2d
        self.conv1 = nn.Sequential(
            OrderedDict(
                conv=conv(
                    in_channels,
                    channels,
                    stem_kernel,
                    stride=(*time, 2, 2),
                    padding=tuple(size // 2 for size in stem_kernel),
                    bias=False,
                ),
                bn=build_norm_layer(norm_cfg, channels)[1],
                relu=nn.ReLU(inplace=True),
                max_pool=pool((*time, 3, 3), (*time, 2, 2), (*(0 for _ in time), 1, 1)),
            )
        )
        for stage, number in enumerate(stage_blocks):
            blocks = []
            for i in range(number):
                stride = strides[stage] if i == 0 else 1
                block = PreActBlock(
                    channels,
                    residual(stage, i, stride),
                    stride if i == 0 else None,
                    norm_cfg,
                    se_ratio,
                )
                blocks.append(block)
                channels = block.out_channels
            self.add_module(f'layer{stage + 1}', nn.Sequential(*blocks))
        self.tail = nn.Sequential(
            OrderedDict(
                bn=build_norm_layer(norm_cfg, channels)[1],
                relu=nn.ReLU(inplace=True),
            )
        )
        self._freeze()

    @classmethod
    def numbers_of_blocks(
        cls, depth: int, stage_blocks: Sequence[int] | None
    ) -> tuple[int, ...]:
        """Return the numbers of blocks of the four stages.

        Args:
            depth (int): The depth of the network.
            stage_blocks (Sequence[int], optional): The numbers to use instead of those
                of the depth.

        Raises:
            ValueError: The depth is unknown, or `stage_blocks` are not four numbers of
                at least 1.
        """
        if depth not in cls.blocks:
            raise ValueError(
                f'{cls.__name__}: depth must be one of '
                f'{", ".join(map(str, cls.blocks))}, got {depth!r}; for another number '
                'of blocks also give stage_blocks'
            )
        numbers = cls.blocks[depth] if stage_blocks is None else tuple(stage_blocks)
        if len(numbers) != 4 or min(numbers) < 1:
            raise ValueError(
                f'{cls.__name__}: stage_blocks must be the numbers of blocks of four '
                f'stages, each at least 1; got {stage_blocks!r}'
            )
        return numbers

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """Return the outputs of the stages in `out_indices`.

        The output of the last stage has passed the tail, norm and ReLU.
        """
        x = self.conv1(x)
        outputs = []
        for index, stage in enumerate(self._stages()):
            for block in stage:
                if self.with_cp and torch.is_grad_enabled():
                    x = checkpoint(block, x, use_reentrant=False)
                else:
                    x = block(x)
            if index in self.out_indices:
                outputs.append(self.tail(x) if index == 3 else x)
        return tuple(outputs)

    def train(self, mode: bool = True) -> 'PreActBackbone':
        """Set the mode; frozen parts, and norms with `norm_eval`, stay in eval mode."""
        super().train(mode)
        self._freeze()
        if mode and self.norm_eval:
            for module in self.modules():
                if isinstance(module, _BatchNorm):
                    module.eval()
        return self

    def _freeze(self) -> None:
        for part in [self.conv1, *self._stages()][: self.frozen_stages + 1]:
            part.eval().requires_grad_(False)

    def _stages(self) -> list[nn.Sequential]:
        return [self.layer1, self.layer2, self.layer3, self.layer4]


@MODELS.register_module()
class PreActResNet(PreActBackbone):
    """Pre-activation ResNet, SE-ResNet or ResNeXt, its stride on the 3×3 convolutions.

    It is registered in mmengine's root registry, so all OpenMMLab libraries find it.
    With the "lite" stem it is the 2D counterpart of PreActResNet3d, whose weights can
    be inflated from it.

    Args:
        depth (int): 18, 34 (two 3×3 convolutions per block), 50, 101, 152 or 200
            (bottlenecks).
        in_channels (int): Channels of the image. Default: 3.
        base_channels (int): Width of the first stage, and of the 7×7 stem. Default: 64.
        stage_blocks (Sequence[int], optional): Number of blocks of each of the four
            stages, instead of those of `depth`.
        stem (str): '7x7', or 'lite': 5×5 with half the width. Default: '7x7'.
        groups (int): Groups of the 3×3 convolutions, the cardinality of ResNeXt.
            Default: 1.
        width_per_group (int): Channels of a group in the first stage. Default: 4.
        se_ratio (int, optional): Reduction ratio of squeeze-and-excitation in every
            block, 16 in SE-ResNet. Default: None, no squeeze-and-excitation.
        strides (Sequence[int]): Stride of each of the four stages. Default: (1, 2, 2,
            2).
        dilations (Sequence[int]): Dilation of the 3×3 convolutions in each of the four
            stages; (1, 1, 2, 4) with strides (1, 2, 1, 1) is output stride 8. Default:
            (1, 1, 1, 1).
        norm_cfg (dict): Config of the norms, as in mmcv. Default: batch norm with the
            eps of the release.
        init_cfg: Initialisation, as in mmengine. Default: Kaiming-normal convolutions.
        kwargs: `out_indices`, `frozen_stages`, `norm_eval` and `with_cp` of
            PreActBackbone.

    Raises:
        ValueError: An argument is not as described.

    Shape:
        (N, 3, H, W) → a tuple of (N, C, ⌈H / s⌉, ⌈W / s⌉); by default one, with 2048
        channels and s = 32 (512 channels for depth 18 and 34).
    """

    blocks = {
        18: (2, 2, 2, 2),
        34: (3, 4, 6, 3),
        50: (3, 4, 6, 3),
        101: (3, 4, 23, 3),
        152: (3, 8, 36, 3),
        200: (3, 24, 36, 3),
    }

    def __init__(
        self,
        depth: int = 50,
        in_channels: int = 3,
        base_channels: int = 64,
        stage_blocks: Sequence[int] | None = None,
        stem: str = '7x7',
        groups: int = 1,
        width_per_group: int = 4,
        se_ratio: int | None = None,
        strides: Sequence[int] = (1, 2, 2, 2),
        dilations: Sequence[int] = (1, 1, 1, 1),
        norm_cfg: dict[str, Any] = dict(type='BN', eps=1e-4),  # noqa: B006, never written
        init_cfg: dict[str, Any] | Sequence[dict[str, Any]] | None = _KAIMING,
        **kwargs: Any,
    ) -> None:
        numbers = self.numbers_of_blocks(depth, stage_blocks)
        stems = {'7x7': (base_channels, 7), 'lite': (base_channels // 2, 5)}
        if stem not in stems:
            raise ValueError(
                f"PreActResNet: stem must be '7x7' or 'lite', got {stem!r}"
            )
        if len(dilations) != 4:
            raise ValueError(
                'PreActResNet: dilations must have a value for each of the four '
                f'stages, got {dilations!r}'
            )
        if groups > 1 and depth < 50:
            raise ValueError(
                f'PreActResNet: groups={groups} needs bottlenecks, depth 50 or more; '
                f'got depth={depth}'
            )
        stem_channels, size = stems[stem]
        width = base_channels if groups == 1 else groups * width_per_group

        def residual(
            stage: int, block: int, stride: int | tuple[int, ...]
        ) -> list[dict[str, Any]]:
            spatial = dict(kernel=(3, 3), dilation=dilations[stage])
            out, mid = base_channels * 2**stage, width * 2**stage
            if depth < 50:
                return [
                    dict(outputs=out, stride=stride, **spatial),
                    dict(outputs=out, **spatial),
                ]
            return [
                dict(outputs=mid, kernel=(1, 1)),
                dict(outputs=mid, stride=stride, groups=groups, **spatial),
                dict(outputs=4 * out, kernel=(1, 1)),
            ]

        super().__init__(
            in_channels,
            stem_channels,
            (size, size),
            numbers,
            strides,
            residual,
            norm_cfg,
            init_cfg,
            se_ratio,
            **kwargs,
        )
