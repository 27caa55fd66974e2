"""Images with their predicted classes."""

from typing import Any

from mmengine.dataset import BaseDataset
from mmpretrain.registry import HOOKS
from PIL import Image, ImageDraw

from glore_mm.engine.hooks.prediction import PredictionHook
from glore_mm.engine.transforms import find_dataset_loader
from glore_mm.visualization.drawing import (
    draw_caption,
    font_for,
    prediction_text,
)

_BAR = (170, 200, 235)


def draw_scores(picture: Image.Image, classes: list[dict[str, Any]]) -> Image.Image:
    """Draw the most likely classes below an image, with one bar per class.

    Args:
        picture (Image.Image): RGB.
        classes (list[dict]): `label` and `score` (0 to 1) of each class, in the order
            of the bars.

    Returns:
        Image.Image: RGB, at least as wide as the image.
    """
    line = max(16, picture.height // 20)
    texts = [f'{found["score"]:.1%}  {found["label"]}' for found in classes]
    font = font_for(''.join(texts), line * 0.7)
    width = max(picture.width, 8 * line)
    sheet = Image.new('RGB', (width, picture.height + line * len(texts)), color='white')
    sheet.paste(picture, ((width - picture.width) // 2, 0))
    draw = ImageDraw.Draw(sheet)
    for row, (text, found) in enumerate(zip(texts, classes, strict=True)):
        top = picture.height + row * line
        bar = (0, top + 1, found['score'] * (width - 1), top + line - 2)
        draw.rectangle(bar, fill=_BAR)
        while draw.textlength(text, font) > width - line and len(text) > 8:
            text = f'{text[:-2]}…'
        draw.text((line // 4, top + line * 0.08), text, fill='black', font=font)
    return sheet


@HOOKS.register_module()
class ClsPredictionHook(PredictionHook):
    """Write the test images with prediction and ground truth.

    Args:
        folder (str): Where to write one JPEG per image, with the subfolders of the data
            set.
    """

    def draw(
        self, sample: Any, dataset: BaseDataset, data_batch: Any, index: int
    ) -> Image.Image:
        """Return the image with a caption."""
        if 'img_path' in sample:
            picture = find_dataset_loader(dataset).picture(sample.img_path)
        else:  # the data set has arrays instead of files
            info = dataset.get_data_info(sample.sample_idx)
            picture = Image.fromarray(info['img'][..., ::-1])
        draw_caption(picture, prediction_text(sample, dataset.metainfo['classes']))
        return picture

    def file_name(self, name: str) -> str:
        """Keep the suffix in the name, as a.png and a.jpg may be in one folder."""
        return f'{name}.jpg'
