"""Reading images of every kind, and refusing those that are damaged."""

import io
import logging
import warnings
from contextlib import suppress

import numpy as np
from mmengine import fileio
from mmengine.logging import print_log
from PIL import Image, ImageOps, UnidentifiedImageError

from glore_mm.utils.errors import UnreadableSampleError

#: Endings of image files in a folder, lower case.
IMAGE_SUFFIXES = (
    '.jpg', '.jpeg', '.png', '.webp', '.gif', '.bmp', '.tif', '.tiff', '.ppm', '.pgm',
)  # fmt: skip
_few_bits: list[str] = []  # the file that was warned of


def read_image(path: str) -> Image.Image:
    """Read an image as a person would see it.

    Grey, CMYK, palette and 16-bit files become 8-bit RGB, transparency is dropped, and
    the orientation that a camera has noted (EXIF) is applied.

    Args:
        path (str): The file.

    Returns:
        Image.Image: RGB, upright.

    Raises:
        UnreadableSampleError: The file is missing, is no image, or is damaged or
            truncated.
    """
    advice = 'Fetch it again'
    try:
        with warnings.catch_warnings():  # they name no file
            warnings.simplefilter('ignore')
            image = Image.open(io.BytesIO(fileio.get(path)))
            image.load()
            if image.mode == 'RGBX':  # TIFF with a fourth band of no known meaning
                advice = 'Save it with 3'
                raise ValueError('it has 4 bands, none of them transparency')
            # a 16-bit PGM, and PNG in older Pillows, are said to have 32
            is_16_bit = image.format in ('PPM', 'PNG') and image.mode == 'I'
            if not is_16_bit and image.mode in ('I', 'F'):
                advice = 'Save it with 8 or 16'
                raise ValueError('its pixels have 32 bits')
            with suppress(Exception):  # damaged EXIF: the image is taken as it is
                image = ImageOps.exif_transpose(image)
            if is_16_bit or image.mode.startswith('I;16'):  # convert() clips at 255
                grey = np.asarray(image, np.int32)
                _warn_of_few_bits(path, int(grey.max()))
                grey = (grey + 128) // 257
                image = Image.fromarray(grey.astype(np.uint8))
            return image if image.mode == 'RGB' else image.convert('RGB')
    except Exception as error:  # each format has its own
        raise unreadable_image(path, error, advice) from error


def _warn_of_few_bits(path: str, largest: int) -> None:
    """Warn once of 16-bit images with small values, such as 12 bits."""
    if largest < 4096 and not _few_bits:
        _few_bits.append(path)
        print_log(
            f'{path} has 16 bits, but no value above {largest}: read as 8 bits it is '
            'dark. Scale its values to 0 to 65535.',
            logger='current',
            level=logging.WARNING,
        )


def unreadable_image(
    path: str,
    error: Exception,
    advice: str = 'Fetch it again',
    what: str = 'an image',
) -> UnreadableSampleError:
    """The error for an image file, from the one that reading it ended in.

    Args:
        path (str): The file.
        error (Exception): What was raised; each format has its own.
        advice (str): What can help, where the file is there and is not too large.
        what (str): What it should have been.
    """
    if isinstance(error, FileNotFoundError):
        return UnreadableSampleError.of(path, 'no such file')
    if isinstance(error, UnidentifiedImageError):
        advice = 'Convert it to PNG or JPEG, or fetch it again'
    if isinstance(error, Image.DecompressionBombError):
        advice = 'Make it smaller'
    # what Pillow says of a stream that it was given names the stream
    reason = str(error).split(' <_io')[0].strip() or type(error).__name__
    problem = f'cannot be read as {what}: {reason.splitlines()[0].rstrip(".")}'
    return UnreadableSampleError.of(path, problem, advice)
