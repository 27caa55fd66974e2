"""Segmentation in windows that share their nodes: `test_cfg.mode='global_slide'`.

mmsegmentation's mode 'slide' gives the units of each window nodes of its own. Here they
have the nodes of the whole image. The settings are those of 'slide'::

    model = dict(
        test_cfg=dict(mode='global_slide', crop_size=(512, 512), stride=(384, 384)))

`cache` is that of `glore_mm.windows.forward_windows`.
"""

from collections.abc import Callable, Iterator
from typing import Any

from torch import Tensor

from glore_mm.windows import WindowGrid, forward_windows


def segment_windows(
    segmentor: Any,
    grid: WindowGrid,
    read: Callable[[int], Tensor],
    meta: dict[str, Any],
) -> Iterator[Tensor]:
    """Segment the windows of an image, in the mode of the segmentor's `test_cfg`.

    Args:
        segmentor (EncoderDecoder): The network, in evaluation mode. The mode is 'slide'
            or 'global_slide'.
        grid (WindowGrid): The windows.
        read (Callable[[int], Tensor]): Returns the preprocessed windows of a batch of
            images, (N, C, H, W).
        meta (dict): Meta information of the images.

    Yields:
        Tensor: The logits of each window, (N, classes, H, W).

    Raises:
        ValueError: See `forward_windows`.
    """

    def run(index: int) -> Tensor:
        window = read(index)
        metas = [dict(meta, img_shape=window.shape[2:])] * len(window)
        logits: Tensor = segmentor.encode_decode(window, metas)
        return logits

    if segmentor.test_cfg.mode == 'slide':
        return map(run, range(len(grid)))
    cache = segmentor.test_cfg.get('cache', 'none')
    return forward_windows(segmentor, run, len(grid), grid.weight, cache)


def global_slide_inference(
    segmentor: Any, inputs: Tensor, batch_img_metas: list[dict[str, Any]]
) -> Tensor:
    """Segment images as `EncoderDecoder.slide_inference`, with shared nodes.

    Args:
        segmentor (EncoderDecoder): The network.
        inputs (Tensor): Images, (N, C, H, W).
        batch_img_metas (list[dict]): Their meta information.

    Returns:
        Tensor: Logits, (N, classes, H, W), averaged where windows overlap.
    """
    test_cfg = segmentor.test_cfg
    grid = WindowGrid(inputs.shape[2:], test_cfg.crop_size, test_cfg.stride)
    out = inputs.new_zeros(len(inputs), segmentor.out_channels, *inputs.shape[2:])

    def read(index: int) -> Tensor:
        rows, columns = grid[index]
        return inputs[..., rows, columns]

    logits = segment_windows(segmentor, grid, read, batch_img_metas[0])
    for index, part in enumerate(logits):
        rows, columns = grid[index]
        out[..., rows, columns] += part * grid.weight(index, part.shape[2:]).to(part)
    return out
