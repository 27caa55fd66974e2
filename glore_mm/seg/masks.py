"""Reading segmentation masks without changing their values."""

import io
import re
from collections.abc import Sequence
from contextlib import suppress

import numpy as np
from mmengine import fileio
from PIL import Image, ImageFile, ImageOps, TiffImagePlugin

from glore_mm.utils.errors import UserError
from glore_mm.utils.images import count_pages, unreadable_image


def read_mask(path: str) -> tuple[np.ndarray, list[list[int]]]:
    """Read the values of a mask, upright.

    Args:
        path (str): The file.

    Returns:
        tuple[np.ndarray, list[list[int]]]: The values, (H, W), or (H, W, C) of a colour
        image, and the RGB of each value of a palette mask, otherwise empty.

    Raises:
        UnreadableSampleError: The file is missing, not an image, or damaged.
        UserError: The file is a JPEG, or has several pages or frames.
    """
    try:
        mask = Image.open(io.BytesIO(fileio.get(path)))
        pages = count_pages(mask)
        maximum = _unscaled_maximum(mask)
        mask.load()
    except Exception as error:  # each format raises its own type
        raise unreadable_image(path, error, what='a label map') from error
    if mask.format in ('JPEG', 'MPO'):
        raise UserError(
            f'{path} is a JPEG, which changes the values of a mask. Export it as PNG.'
        )
    if pages > 1:
        raise UserError(
            f'{path} has {pages} pages or frames; expected one mask. Save the right '
            'one as PNG.'
        )
    upright: Image.Image = mask
    with suppress(Exception):  # ignore damaged EXIF
        upright = ImageOps.exif_transpose(mask)
    values = np.asarray(upright)
    if maximum:  # Pillow scales to 0 to 255, or to 65535
        full = 255 if maximum < 256 else 65535
        values = (values.astype(np.int64) * maximum + full // 2) // full
    if _is_inverted(mask):
        values = (maximum or 255) - values
    colors = mask.getpalette() if mask.mode == 'P' else None
    palette = np.array(colors or [], int).reshape(-1, 3)
    if mask.format == 'GIF' and len(palette) and (palette == palette[:, :1]).all():
        return palette[values, 0].astype(np.uint8), []  # a grey GIF has values there
    return values, palette.tolist()


def _is_inverted(image: ImageFile.ImageFile) -> bool:
    """Whether Pillow has inverted the values: a TIFF in which white is 0."""
    return (
        isinstance(image, TiffImagePlugin.TiffImageFile)
        and image.mode == 'L'
        and image.tag_v2.get(TiffImagePlugin.PHOTOMETRIC_INTERPRETATION) == 0
    )


def _unscaled_maximum(image: ImageFile.ImageFile) -> int:
    """Return the largest value of a format that Pillow scales; 0 for other formats."""
    if not image.tile:
        return 0
    codec, _, _, given = image.tile[0]
    args = given if isinstance(given, tuple) else (given,)
    if codec.startswith('ppm'):
        return args[1] if len(args) > 1 else 0  # a bitmap has no largest value
    bits = re.match('L;([24])', str(args[0]))  # grey levels of 2 or 4 bits
    return 2 ** int(bits[1]) - 1 if bits else 0


def read_palette(files: Sequence[str]) -> tuple[list[list[int]], int]:
    """Read the common palette of masks.

    Args:
        files (Sequence[str]): The masks.

    Returns:
        tuple[list[list[int]], int]: The RGB of each value, empty if a mask has no
        palette, and the largest value of all masks, except for 255.

    Raises:
        UserError: A mask cannot be read, or a value has different colours in two masks.
    """
    colors: dict[int, tuple[list[int], str]] = {}
    longest: list[list[int]] = []
    for file in files:
        values, palette = read_mask(file)
        if not palette:
            return [], 0
        longest = max(longest, palette, key=len)
        for value in np.unique(values).tolist():
            if value >= min(255, len(palette)):  # 255 is ignored
                continue
            color, first = colors.setdefault(value, (palette[value], file))
            if color != palette[value]:
                raise UserError(
                    f'{first} and {file} have different palettes: {value} is '
                    f'#{bytes(color).hex()} in the first and '
                    f'#{bytes(palette[value]).hex()} in the second. If the colours are '
                    'the classes, convert them with tools/masks_to_indices.py. If the '
                    'values are, give the data set classes and palette.'
                )
    return longest, max(colors, default=0)
