"""Images of segmentations: coloured label maps, overlays, legends, panels."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from mmengine.dataset import BaseDataset
from mmseg.datasets import ADE20KDataset, CityscapesDataset
from mmseg.registry import HOOKS
from PIL import Image, ImageDraw

from glore_mm.engine.hooks.prediction import PredictionHook
from glore_mm.engine.transforms import find_dataset_loader
from glore_mm.utils.cityscapes_labels import LABEL_ID_OF_TRAIN_ID
from glore_mm.visualization.drawing import add_title, font_for, hstack

_LEGEND_LINE = 28  # pixels
_LEGEND_ROWS = 20  # maximum
#: How the servers of benchmarks number the classes, where it is not by index.
_SERVER_VALUES = {
    CityscapesDataset.METAINFO['classes']: LABEL_ID_OF_TRAIN_ID,
    ADE20KDataset.METAINFO['classes']: np.arange(1, 151, dtype=np.uint8),
}


def colorize(labels: np.ndarray, palette: Sequence[Sequence[int]]) -> np.ndarray:
    """Colour a label map.

    Args:
        labels (np.ndarray): Classes, integer (H, W); other values become black.
        palette (Sequence[Sequence[int]]): RGB of every class, 0 to 255.

    Returns:
        np.ndarray: uint8 (H, W, 3), RGB.
    """
    table = np.zeros((256, 3), np.uint8)
    table[: len(palette)] = palette
    return table[labels]


def overlay(
    image: np.ndarray, labels: np.ndarray, palette: Sequence[Sequence[int]]
) -> np.ndarray:
    """Blend an image and its coloured label map, half each.

    Args:
        image (np.ndarray): uint8 (H, W, 3), RGB.
        labels (np.ndarray): Classes, integer (H, W).
        palette (Sequence[Sequence[int]]): RGB of every class, 0 to 255.

    Returns:
        np.ndarray: uint8 (H, W, 3), RGB.
    """
    return (image // 2 + colorize(labels, palette) // 2).astype(np.uint8)


def legend(classes: Sequence[str], palette: Sequence[Sequence[int]]) -> Image.Image:
    """Draw the colour and name of each class, in columns.

    Args:
        classes (Sequence[str]): Class names.
        palette (Sequence[Sequence[int]]): RGB of every class, 0 to 255.

    Returns:
        Image.Image: RGB.
    """
    line, font = _LEGEND_LINE, font_for(''.join(classes), _LEGEND_LINE * 0.6)
    columns = -(-len(classes) // _LEGEND_ROWS)
    rows = -(-len(classes) // columns)
    width = 3 * line + round(max(font.getlength(name) for name in classes))
    sheet = Image.new('RGB', (columns * width, rows * line + 8), color='white')
    draw = ImageDraw.Draw(sheet)
    for index, (name, colour) in enumerate(zip(classes, palette, strict=True)):
        column, row = divmod(index, rows)
        left, top = column * width + 8, row * line + 4
        box = (left, top + 3, left + 1.5 * line, top + line - 4)
        draw.rectangle(box, fill=tuple(colour), outline='grey')
        draw.text(
            (left + 2 * line, top + line / 2), name, 'black', font=font, anchor='lm'
        )
    return sheet


def panels(pictures: dict[str, np.ndarray]) -> Image.Image:
    """Place images of one size side by side, each below its title.

    Args:
        pictures (dict[str, np.ndarray]): uint8 (H, W, 3), RGB, by title.

    Returns:
        Image.Image: RGB.
    """
    return hstack(
        [add_title(Image.fromarray(p), title) for title, p in pictures.items()]
    )


@HOOKS.register_module()
class SegPredictionHook(PredictionHook):
    """Write test images with ground truth, prediction and errors side by side.

    In the error panel, wrong pixels are white, right ones black and ignored ones grey.

    Args:
        folder (str): Where to write one PNG per image, with the subfolders of the data
            set.
        ignore_index (int): The label that is not scored. Default: 255.
    """

    def __init__(self, folder: str, ignore_index: int = 255) -> None:
        super().__init__(folder)
        self.ignore_index = ignore_index

    def draw(
        self, sample: Any, dataset: BaseDataset, data_batch: Any, index: int
    ) -> Image.Image:
        """Return the four panels of an image, or two if it has no labels."""
        palette = dataset.metainfo['palette']
        predicted = sample.pred_sem_seg.data.squeeze(0).cpu().numpy()
        image = find_dataset_loader(dataset).picture(sample.img_path)
        drawn = dict(image=np.asarray(image.resize(predicted.shape[::-1])))
        if 'gt_sem_seg' not in sample:
            return panels(dict(drawn, prediction=colorize(predicted, palette)))
        truth = sample.gt_sem_seg.data.squeeze(0).cpu().numpy()
        errors = np.where(truth != predicted, 255, 0).astype(np.uint8)
        errors[truth == self.ignore_index] = 128
        return panels(
            dict(
                drawn,
                truth=colorize(truth, palette),
                prediction=colorize(predicted, palette),
                errors=np.repeat(errors[..., None], 3, axis=2),
            )
        )


@HOOKS.register_module()
class SegSubmissionHook(PredictionHook):
    """Write test predictions in the format of the benchmark's server.

    Writes one PNG per image, with the name of the image: label ids for the classes of
    Cityscapes, 1 to 150 for those of ADE20K, class indices for others.

    Args:
        folder (str): Where to write, with the subfolders of the data set.
    """

    def draw(
        self, sample: Any, dataset: BaseDataset, data_batch: Any, index: int
    ) -> Image.Image:
        """Return the labels of an image as the server numbers them."""
        labels = sample.pred_sem_seg.data.squeeze(0).cpu().numpy().astype(np.uint8)
        values = _SERVER_VALUES.get(tuple(dataset.metainfo['classes']))
        return Image.fromarray(labels if values is None else values[labels])
