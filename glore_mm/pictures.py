"""Pictures that tell something: captions, sheets."""

import io
import os.path as osp
from collections.abc import Sequence

import matplotlib
from matplotlib.figure import Figure
from PIL import Image, ImageDraw, ImageFont


def font_for(text: str, size: float) -> ImageFont.FreeTypeFont:
    """A font that can draw a text: Pillow's own, or matplotlib's for other alphabets.

    Args:
        text (str): Latin, Greek, Cyrillic and some more; not Chinese.
        size (float): Of the letters, pixels.
    """
    if text.isascii():
        return ImageFont.load_default(size)
    fonts = osp.join(matplotlib.get_data_path(), 'fonts', 'ttf')
    return ImageFont.truetype(osp.join(fonts, 'DejaVuSans.ttf'), size)


def caption(picture: Image.Image, text: str) -> None:
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


def titled(picture: Image.Image, *words: str | tuple[str, tuple]) -> Image.Image:
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


def beside(pictures: Sequence[Image.Image], gap: int = 0) -> Image.Image:
    """Set pictures side by side, on white, with a gap of so many pixels."""
    sheet = Image.new(
        'RGB',
        (
            sum(p.width + gap for p in pictures) - gap,
            max(p.height for p in pictures),
        ),
        'white',
    )
    left = 0
    for picture in pictures:
        sheet.paste(picture, (left, 0))
        left += picture.width + gap
    return sheet


def stacked(pictures: Sequence[Image.Image], gap: int = 0) -> Image.Image:
    """Set pictures below one another, on white, with a gap of so many pixels."""
    sheet = Image.new(
        'RGB',
        (
            max(p.width for p in pictures),
            sum(p.height + gap for p in pictures) - gap,
        ),
        'white',
    )
    top = 0
    for picture in pictures:
        sheet.paste(picture, (0, top))
        top += picture.height + gap
    return sheet


def drawn(figure: Figure) -> Image.Image:
    """A figure of matplotlib's as a picture, RGB."""
    file = io.BytesIO()
    figure.savefig(file)
    return Image.open(file).convert('RGB')
