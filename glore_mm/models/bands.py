"""Backbones for images with other bands than red, green and blue."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from mmengine.registry import MODELS
from torch import Tensor, nn


@MODELS.register_module()
def WithBands(  # noqa: N802, reads as a type in a config
    backbone: Mapping[str, Any], bands: int, rgb: Sequence[int] = (), **kwargs: Any
) -> nn.Module:
    """Build a backbone for images with any number of bands.

    Weights of a network for three bands can be loaded into it: they are inflated, see
    `inflate_bands`.

    Example::

        backbone=dict(type='WithBands', bands=12, rgb=(3, 2, 1),
                      backbone=dict(type='ResNetV1c', depth=50))

    Args:
        backbone (dict): Config of the backbone, which has the argument `in_channels`.
        bands (int): Number of bands.
        rgb (Sequence[int]): Indices of the red, green and blue band, if there are any.
        kwargs: Further arguments of the backbone, which override those in its config.

    Returns:
        nn.Module: The backbone itself.

    Raises:
        ValueError: The backbone has no convolution that takes the bands, or `rgb` is
            wrong.
    """
    if rgb and (len(rgb) != 3 or not 0 <= min(rgb) <= max(rgb) < bands):
        raise ValueError(
            f'WithBands: rgb must be three indices from 0 to {bands - 1}, got {rgb!r}'
        )
    net = MODELS.build({**backbone, 'in_channels': bands, **kwargs})
    kinds = nn.Conv1d, nn.Conv2d, nn.Conv3d
    convs = [m for m in net.modules() if isinstance(m, kinds)]
    if not convs or convs[0].in_channels != bands:
        raise ValueError(
            f'WithBands: the first convolution of {type(net).__name__} does not take '
            f'{bands} bands; its argument in_channels must set them'
        )

    def inflate(conv: nn.Module, state: dict[str, Any], prefix: str, *_: Any) -> None:
        weight = state.get(f'{prefix}weight')
        if weight is not None and weight.shape[1] == 3 != bands:
            state[f'{prefix}weight'] = inflate_bands(weight, bands, rgb)

    conv: Any = convs[0]  # public from torch 2.5 on
    conv._register_load_state_dict_pre_hook(inflate, with_module=True)
    return net


def inflate_bands(weight: Tensor, bands: int, rgb: Sequence[int] = ()) -> Tensor:
    """Convert the weight of a convolution over red, green and blue to more bands.

    The bands of `rgb` keep their weights, the others get the mean of the three. All
    are scaled by 3 / bands, so that the output keeps its magnitude.

    Args:
        weight (Tensor): (out, 3, *kernel), for red, green and blue in this order.
        bands (int): Number of bands.
        rgb (Sequence[int]): Indices of the red, green and blue band, if there are any.

    Returns:
        Tensor: (out, bands, *kernel).
    """
    mean = weight.mean(1, keepdim=True)
    inflated = torch.repeat_interleave(mean, bands, dim=1)
    if rgb:
        inflated[:, list(rgb)] = weight
    return inflated * (3 / bands)
