"""Segment images that do not fit into memory, window by window."""

from typing import Any

import numpy as np
import torch
from mmengine.config import Config
from mmseg.models import EncoderDecoder

from glore_mm.config.build import get_by_path, get_data_preprocessor
from glore_mm.config.datasets import test_pipeline, type_name
from glore_mm.engine.task import image_loader
from glore_mm.models.global_slide import segment_windows
from glore_mm.utils.bands import BandImage
from glore_mm.utils.datasets import LABEL_LOADERS
from glore_mm.windows import WindowGrid


def can_segment_windows(cfg: Config) -> bool:
    """Whether a config tests in windows, and preprocesses each like the whole image.

    It does if the test pipeline only loads and packs: a Resize needs the whole image,
    and a loader of another library cannot read windows.
    """
    mode = get_by_path(cfg, 'model.test_cfg.mode')
    pads = get_data_preprocessor(cfg).get('test_cfg')
    others = [type_name(s) for s in test_pipeline(cfg)[1:]]
    allowed = (*LABEL_LOADERS, 'PackSegInputs')
    return (
        mode in ('slide', 'global_slide')
        and not pads
        and type_name(image_loader(cfg)) in ('LoadImage', 'LoadBands')
        and all(name in allowed for name in others)
    )


@torch.no_grad()
def predict_windows(model: EncoderDecoder, image: BandImage) -> np.ndarray:
    """Segment an image as its network's `test_cfg` says, in 'slide' or 'global_slide'.

    Takes the memory of a window, the result, and the logits of a row of windows.

    Args:
        model (EncoderDecoder): The network, in evaluation mode, on its device.
        image (BandImage): The image, with channels in the order of the network's input.

    Returns:
        np.ndarray: The classes, uint8 (H, W).
    """
    grid = WindowGrid(image.shape, model.test_cfg.crop_size, model.test_cfg.stride)

    def read(index: int) -> torch.Tensor:
        rows, columns = grid[index]
        size = rows.stop - rows.start, columns.stop - columns.start
        values = image.read((rows.start, columns.start, *size)).astype(np.float32)
        inputs = [torch.from_numpy(values).permute(2, 0, 1).contiguous()]
        batch: torch.Tensor = model.data_preprocessor(dict(inputs=inputs))['inputs']
        return batch

    labels = np.empty(image.shape, np.uint8)
    top, height = 0, grid[0][0].stop
    scores: Any = None  # of the rows from `top` on, which windows are still added to
    for index, logits in enumerate(segment_windows(model, grid, read, {})):
        rows, columns = grid[index]
        if scores is None:
            scores = logits.new_zeros(logits.shape[1], height, image.shape[1])
        if rows.start > top:
            done = rows.start - top
            labels[top : rows.start] = _classes(model, scores[:, :done])
            rest, top = scores[:, done:].clone(), rows.start
            scores.zero_()[:, : rest.shape[1]] = rest
        weight = grid.weight(index, logits.shape[2:]).to(logits)
        scores[..., columns] += logits[0] * weight
    labels[top:] = _classes(model, scores)
    return labels


def _classes(model: EncoderDecoder, scores: torch.Tensor) -> np.ndarray:
    """Return the class of each position of logits (classes, h, w)."""
    (sample,) = model.postprocess_result(scores[None], None)
    classes: np.ndarray = sample.pred_sem_seg.data[0].cpu().numpy()
    return classes
