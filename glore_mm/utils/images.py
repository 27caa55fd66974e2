"""Reading images of all formats and modes, with errors for damaged files."""

import io
import logging
import warnings
from contextlib import suppress

import numpy as np
from mmengine import fileio
from mmengine.logging import print_log
from PIL import Image, ImageOps, TiffImagePlugin, UnidentifiedImageError

from glore_mm.utils.errors import UnreadableSampleError

#: File name endings of images, lower case.
IMAGE_SUFFIXES = (
    '.jpg', '.jpeg', '.png', '.webp', '.gif', '.bmp', '.tif', '.tiff', '.ppm', '.pgm',
)  # fmt: skip
_AGAIN = 'Fetch it again'
_PLAIN = (
    'Save it with 8 or 16 unsigned bits, and 1 or 3 bands, or read it with LoadBands '
    '(docs/own_data.md)'
)
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
    content = b''
    try:
        with warnings.catch_warnings():  # Pillow's warnings do not name the file
            warnings.simplefilter('ignore')
            content = fileio.get(path)
            image = Image.open(io.BytesIO(content))
            # Pillow reads the high bytes only; the raw mode is lost by load()
            has_high_bytes = image.mode != 'P' and ';16' in str(image.tile)
            image.load()
            if isinstance(image, TiffImagePlugin.TiffImageFile):
                _check_bands(image)
            # Pillow gives 16-bit PGM, and in older versions PNG, a 32-bit mode
            is_16_bit = image.format in ('PPM', 'PNG') and image.mode == 'I'
            if not is_16_bit and image.mode in ('I', 'F'):
                raise _PixelError('its values are signed, floating-point or 32-bit')
            with suppress(Exception):  # ignore damaged EXIF
                image = ImageOps.exif_transpose(image)
            if has_high_bytes and image.mode in ('RGB', 'RGBA'):
                largest = int(np.asarray(image)[..., :3].max())
                _warn_of_few_bits(path, 256 * largest + 255)
            if is_16_bit or image.mode.startswith('I;16'):  # convert() clips to 255
                grey = np.asarray(image, np.int32)
                _warn_of_few_bits(path, int(grey.max()))
                grey = (grey + 128) // 257
                image = Image.fromarray(grey.astype(np.uint8))
            return image if image.mode == 'RGB' else image.convert('RGB')
    except Exception as error:  # each format raises its own type
        advice = _AGAIN
        if isinstance(error, _PixelError):
            advice = _PLAIN
        elif (
            isinstance(error, UnidentifiedImageError)
            and content[:4] in TiffImagePlugin.PREFIXES
        ):
            advice = f'{_PLAIN}, or fetch it again'
        raise unreadable_image(path, error, advice) from error


class _PixelError(ValueError):
    """Pixels that cannot become 8-bit RGB without a loss."""


def _check_bands(image: TiffImagePlugin.TiffImageFile) -> None:
    """Refuse bands that Pillow drops, or takes for transparency without being told."""
    bands = image.tag_v2.get(TiffImagePlugin.SAMPLESPERPIXEL, 1)
    has_alpha = {1, 2} & {*image.tag_v2.get(TiffImagePlugin.EXTRASAMPLES, ())}
    known = has_alpha or image.mode == 'CMYK' or bands in (1, 3)
    if bands > len(image.getbands()) or not known:
        raise _PixelError(f'it has {bands} bands, which are not all colours')


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
    advice: str = _AGAIN,
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
    if isinstance(error, UnidentifiedImageError) and advice == _AGAIN:
        advice = 'Convert it to PNG or JPEG, or fetch it again'
    if isinstance(error, Image.DecompressionBombError):
        advice = (
            "Make it smaller. A segmentor in mode 'slide' or 'global_slide' reads a "
            'tiled TIFF window by window if rasterio is installed'
        )
    # Pillow appends the repr of the stream
    reason = str(error).split(' <_io')[0].strip() or type(error).__name__
    problem = f'cannot be read as {what}: {reason.splitlines()[0].rstrip(".")}'
    return UnreadableSampleError.of(path, problem, advice)
