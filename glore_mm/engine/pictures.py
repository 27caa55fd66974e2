"""Pictures that tell something: captions, sheets."""

import os.path as osp

import matplotlib
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


def stacked(pictures: list[Image.Image]) -> Image.Image:
    """Set pictures below one another, on white."""
    sheet = Image.new(
        'RGB',
        (max(p.width for p in pictures), sum(p.height for p in pictures)),
        'white',
    )
    top = 0
    for picture in pictures:
        sheet.paste(picture, (0, top))
        top += picture.height
    return sheet
