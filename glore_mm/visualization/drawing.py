"""Image helpers: captions, titles, stacking, saving."""

import os.path as osp
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from glore_mm.utils.atomic_write import atomic_write
from glore_mm.utils.datasets import label_indices


def save_image(picture: Image.Image, path: str | Path) -> None:
    """Write an image atomically.

    Args:
        picture (Image.Image): The image.
        path (str | Path): The file; its suffix determines the format.

    Raises:
        UserError: The file cannot be written.
    """
    with atomic_write(path) as draft:
        picture.save(draft, Image.registered_extensions()[Path(path).suffix.lower()])


def index_image(labels: np.ndarray, palette: Sequence[Sequence[int]]) -> Image.Image:
    """Convert a label map to a palette image with the labels as pixel values.

    Args:
        labels (np.ndarray): uint8 (H, W).
        palette (Sequence[Sequence[int]]): RGB of every class, 0 to 255.
    """
    colors = np.zeros((256, 3), np.uint8)  # a shorter palette would clip the values
    colors[: len(palette)] = palette
    image = Image.fromarray(labels, mode='P')
    image.putpalette(colors.ravel().tolist())
    return image


def prediction_text(sample: Any, classes: Sequence[str]) -> str:
    """Describe a classifier's prediction and, if known, whether it is right.

    Args:
        sample (DataSample): Sample with `pred_label` and optionally `gt_label`, each
            with one or several labels.
        classes (Sequence[str]): Class names.
    """

    def names(labels: Any) -> str:
        # sorted, as the order of several labels has no meaning
        indices = np.unique(label_indices(labels))
        return ', '.join(classes[i] for i in indices) or 'nothing'

    found = names(sample.pred_label)
    if 'gt_label' not in sample:
        return found
    truth = names(sample.gt_label)
    return f'{found} – {"right" if found == truth else f"wrong: it is {truth}"}'


def font_for(text: str, size: float) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """Return a font that can draw a text: Pillow's, or matplotlib's if not ASCII.

    Args:
        text (str): Latin, Greek, Cyrillic and some other scripts; not Chinese.
        size (float): Font size in pixels.
    """
    if text.isascii():
        return ImageFont.load_default(size)
    fonts = osp.join(matplotlib.get_data_path(), 'fonts', 'ttf')
    return ImageFont.truetype(osp.join(fonts, 'DejaVuSans.ttf'), size)


def draw_caption(picture: Image.Image, text: str) -> None:
    """Draw text on a dark bar along the upper edge of an image, in place.

    The font size is reduced until the text fits, down to 8 pixels.

    Args:
        picture (Image.Image): RGB.
        text (str): One line of text.
    """
    draw = ImageDraw.Draw(picture)
    for size in range(max(picture.height // 14, 8), 7, -1):
        font = font_for(text, size)
        if draw.textlength(text, font) + size <= picture.width:
            break
    draw.rectangle((0, 0, picture.width, size * 1.5), fill=(0, 0, 0))
    draw.text((size // 2, size * 0.2), text, fill=(255, 255, 255), font=font)


def add_title(
    picture: Image.Image, *words: str | tuple[str, tuple[int, ...]]
) -> Image.Image:
    """Add a line of text above an image, on white.

    Args:
        picture (Image.Image): RGB.
        words (str | tuple[str, tuple]): Parts of the text: a string in black, or a
            string and its RGB colour.

    Returns:
        Image.Image: RGB, higher by the line of text: 16 pixels, or width // 24 if that
        is more.
    """
    line = max(16, picture.width // 24)
    sheet = Image.new('RGB', (picture.width, picture.height + line), 'white')
    sheet.paste(picture, (0, line))
    draw, left = ImageDraw.Draw(sheet), 4
    for word in words:
        text, color = (word, 'black') if isinstance(word, str) else word
        font = font_for(text, line * 0.65)
        draw.text((left, line // 8), text, fill=color, font=font)
        left += draw.textlength(f'{text} ', font)
    return sheet


def hstack(pictures: Sequence[Image.Image], gap: int = 0) -> Image.Image:
    """Place images side by side, on white, with a gap in pixels."""
    return _stack(pictures, gap, across=True)


def vstack(pictures: Sequence[Image.Image], gap: int = 0) -> Image.Image:
    """Place images below one another, on white, with a gap in pixels."""
    return _stack(pictures, gap, across=False)


def _stack(pictures: Sequence[Image.Image], gap: int, across: bool) -> Image.Image:
    places, left, top = [], 0, 0
    for picture in pictures:
        places.append((left, top))
        left += (picture.width + gap) * across
        top += (picture.height + gap) * (not across)
    width = max(x + p.width for (x, _), p in zip(places, pictures, strict=True))
    height = max(y + p.height for (_, y), p in zip(places, pictures, strict=True))
    sheet = Image.new('RGB', (width, height), 'white')
    for place, picture in zip(places, pictures, strict=True):
        sheet.paste(picture, place)
    return sheet
