"""Pictures that tell something: captions, sheets, the files that they become."""

import os.path as osp
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from glore_mm.utils.atomic_write import atomic_write


def save_image(picture: Image.Image, path: str | Path) -> None:
    """Write a picture; the file appears when it is complete.

    Args:
        picture (Image.Image): Any.
        path (str | Path): Its end says in which format.

    Raises:
        UserError: It cannot be written there.
    """
    with atomic_write(path) as draft:
        picture.save(draft, Image.registered_extensions()[Path(path).suffix.lower()])


def index_image(labels: np.ndarray, palette: Sequence[Sequence[int]]) -> Image.Image:
    """A label map as an image whose pixels are its values, shown in colours.

    Args:
        labels (np.ndarray): uint8 (H, W).
        palette (Sequence[Sequence[int]]): RGB of every class, 0 to 255.
    """
    colors = np.zeros((256, 3), np.uint8)  # a shorter palette would cut off the values
    colors[: len(palette)] = palette
    image = Image.fromarray(labels, mode='P')
    image.putpalette(colors.ravel().tolist())
    return image


def prediction_text(sample: Any, classes: Sequence[str]) -> str:
    """A classifier's answer in words, and whether it is right, where that is known.

    Args:
        sample (DataSample): With `pred_label` and `gt_label`, each one or several.
        classes (Sequence[str]): Names.
    """

    def names(labels: Any) -> str:
        indices = np.atleast_1d(np.asarray(labels))
        return ', '.join(classes[i] for i in indices) or 'nothing'

    found = names(sample.pred_label)
    if 'gt_label' not in sample:
        return found
    truth = names(sample.gt_label)
    return f'{found} – {"right" if found == truth else f"wrong: it is {truth}"}'


def font_for(text: str, size: float) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """A font that can draw a text: Pillow's own, or matplotlib's for other alphabets.

    Args:
        text (str): Latin, Greek, Cyrillic and some more; not Chinese.
        size (float): Of the letters, pixels.
    """
    if text.isascii():
        return ImageFont.load_default(size)
    fonts = osp.join(matplotlib.get_data_path(), 'fonts', 'ttf')
    return ImageFont.truetype(osp.join(fonts, 'DejaVuSans.ttf'), size)


def draw_caption(picture: Image.Image, text: str) -> None:
    """Draw text on a dark bar along the upper edge of a picture, in place.

    The letters shrink until the text fits, at the least to 8 pixels.

    Args:
        picture (Image.Image): RGB.
        text (str): One line.
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
    """Set a picture below a line of text, on white.

    Args:
        picture (Image.Image): RGB.
        words (str | tuple[str, tuple]): What the line says, each black or in an RGB
            colour of its own.

    Returns:
        Image.Image: RGB, higher by the line: 16 pixels, more where it is wide.
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
    """Set pictures side by side, on white, with a gap of so many pixels."""
    return _one_by_one(pictures, gap, across=True)


def vstack(pictures: Sequence[Image.Image], gap: int = 0) -> Image.Image:
    """Set pictures below one another, on white, with a gap of so many pixels."""
    return _one_by_one(pictures, gap, across=False)


def _one_by_one(pictures: Sequence[Image.Image], gap: int, across: bool) -> Image.Image:
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
