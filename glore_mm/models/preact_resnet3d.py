"""The 3D ResNet of the GloRe release: pre-activation, factorised kernels, lite stem."""

from collections.abc import Sequence
from typing import Any

from mmaction.registry import MODELS
from torch import Tensor

from glore_mm.models.preact_resnet import PreActBackbone

_XAVIER = (  # a tuple, because it is a default argument
    dict(type='Xavier', layer='Conv3d', distribution='uniform'),
    dict(type='Constant', layer='_BatchNorm', val=1),
)


@MODELS.register_module()
class PreActResNet3d(PreActBackbone):
    """The 3D pre-activation ResNet that the GloRe release trains on Kinetics.

    Parameter names are those of the release, except that conv2 … conv5 are layer1 …
    layer4 and their blocks count from 0 (B01 is 0): `glore_mm.checkpoints` converts
    them.

    The structure follows the released code
    (https://github.com/facebookresearch/GloRe, network/resnet50_3d_gcn_x5.py), without
    the units, which `WithGloRe` inserts.

    Args:
        depth (int): 50 or 101.
        in_channels (int): Channels of the clip. Default: 3.
        base_channels (int): Width of the bottlenecks of layer1; the stem has half of
            it. Default: 64, as in the release.
        stage_blocks (Sequence[int], optional): Number of blocks of each of the four
            stages, instead of those of `depth`.
        norm_cfg (dict): Config of the norms, as in mmcv. Default: batch norm with the
            eps of the release.
        init_cfg: Initialisation, as in mmengine. Default: as in the release.
        kwargs: `norm_eval` and `with_cp` of PreActBackbone.

    Raises:
        ValueError: `depth` or `stage_blocks` is not as described.

    Shape:
        (N, 3, T, H, W) → (N, 2048, ⌈T / 2⌉, ⌈H / 32⌉, ⌈W / 32⌉).
    """

    blocks = {50: (3, 4, 6, 3), 101: (3, 4, 23, 3)}

    def __init__(
        self,
        depth: int = 50,
        in_channels: int = 3,
        base_channels: int = 64,
        stage_blocks: Sequence[int] | None = None,
        norm_cfg: dict[str, Any] = dict(type='BN3d', eps=1e-4),  # noqa: B006, never written
        init_cfg: dict[str, Any] | Sequence[dict[str, Any]] | None = _XAVIER,
        **kwargs: Any,
    ) -> None:
        def residual(
            stage: int, block: int, stride: int | tuple[int, ...]
        ) -> list[dict[str, Any]]:
            mid = base_channels * 2**stage
            even = block % 2 == 0
            in_time = (True, even, even, block == 1)[stage]  # as in the release
            return [
                dict(outputs=mid, kernel=(3 if in_time else 1, 1, 1)),
                dict(outputs=mid, kernel=(1, 3, 3), stride=stride),
                dict(outputs=4 * mid, kernel=(1, 1, 1)),
            ]

        super().__init__(
            in_channels,
            base_channels // 2,
            (3, 5, 5),
            self.numbers_of_blocks(depth, stage_blocks),
            ((1, 1, 1), (2, 2, 2), (1, 2, 2), (1, 2, 2)),
            residual,
            norm_cfg,
            init_cfg,
            **kwargs,
        )

    # heads of mmaction2 take a single map
    def forward(self, x: Tensor) -> Tensor:  # type: ignore[override]
        """(N, 3, T, H, W) → (N, 2048, ⌈T / 2⌉, ⌈H / 32⌉, ⌈W / 32⌉)."""
        return super().forward(x)[-1]
