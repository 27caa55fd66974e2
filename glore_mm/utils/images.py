"""Reading images of all formats and modes, with errors for damaged files."""

import io
import logging
import warnings
from contextlib import suppress

import numpy as np
from mmengine import fileio
from mmengine.logging import print_log
from PIL import Image, ImageOps, UnidentifiedImageError

from glore_mm.utils.errors import UnreadableSampleError

#: File name endings of images, lower case.
IMAGE_SUFFIXES = (
    '.jpg', '.jpeg', '.png', '.webp', '.gif', '.bmp', '.tif', '.tiff', '.ppm', '.pgm',
)  # fmt: skip
_few_bits: list[str] = []  # the first file with this warning


def read_image(path: str) -> Image.Image:
    """Read an image as upright 8-bit RGB.

    Converts grey, CMYK, palette and 16-bit images, drops transparency and applies the
    EXIF orientation.

    Args:
        path (str): The file.

    Returns:
        Image.Image: RGB, upright.

    Raises:
        UnreadableSampleError: The file is missing, not an image, damaged or truncated.
    """
    advice = 'Fetch it again'
    try:
        with warnings.catch_warnings():  # Pillow's warnings do not name the file
            warnings.simplefilter('ignore')
            image = Image.open(io.BytesIO(fileio.get(path)))
            image.load()
            if image.mode == 'RGBX':  # TIFF with a fourth band of unknown meaning
                advice = 'Save it with 3'
                raise ValueError('it has 4 bands, none of them transparency')
            # Pillow gives 16-bit PGM, and in older versions PNG, a 32-bit mode
            is_16_bit = image.format in ('PPM', 'PNG') and image.mode == 'I'
            if not is_16_bit and image.mode in ('I', 'F'):
                advice = 'Save it with 8 or 16'
                raise ValueError('its pixels have 32 bits')
            with suppress(Exception):  # ignore damaged EXIF
                image = ImageOps.exif_transpose(image)
            if is_16_bit or image.mode.startswith('I;16'):  # convert() clips to 255
                grey = np.asarray(image, np.int32)
                _warn_of_few_bits(path, int(grey.max()))
                grey = (grey + 128) // 257
                image = Image.fromarray(grey.astype(np.uint8))
            return image if image.mode == 'RGB' else image.convert('RGB')
    except Exception as error:  # each format raises its own type
        raise unreadable_image(path, error, advice) from error


def _warn_of_few_bits(path: str, largest: int) -> None:
    """Warn once about 16-bit images with fewer used bits, such as 12."""
    if largest < 4096 and not _few_bits:
        _few_bits.append(path)
        print_log(
            f'{path} has 16 bits, but no value above {largest}: it becomes dark in 8 '
            'bits. Scale its values to 0 to 65535.',
            logger='current',
            level=logging.WARNING,
        )


def unreadable_image(
    path: str,
    error: Exception,
    advice: str = 'Fetch it again',
    what: str = 'an image',
) -> UnreadableSampleError:
    """Convert an exception from reading an image file.

    Args:
        path (str): The file.
        error (Exception): The exception.
        advice (str): Advice for a file that exists and is not too large.
        what (str): The expected kind of file, for the message.
    """
    if isinstance(error, FileNotFoundError):
        return UnreadableSampleError.of(path, 'no such file')
    if isinstance(error, UnidentifiedImageError):
        advice = 'Convert it to PNG or JPEG, or fetch it again'
    if isinstance(error, Image.DecompressionBombError):
        advice = 'Make it smaller'
    # Pillow appends the repr of the stream
    reason = str(error).split(' <_io')[0].strip() or type(error).__name__
    problem = f'cannot be read as {what}: {reason.splitlines()[0].rstrip(".")}'
    return UnreadableSampleError.of(path, problem, advice)
