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
    '.jpg', '.jpeg', '.jfif', '.png', '.webp', '.gif', '.bmp', '.tif', '.tiff', '.ppm',
    '.pgm',
)  # fmt: skip
_AGAIN = 'Fetch it again'
# of TIFF: tags, bits of a subfile type, a sample format
_SUBFILE_TYPE, _REDUCED_OR_MASK, _SIGNED = 254, 0b101, 2
_PHOTOMETRIC = TiffImagePlugin.PHOTOMETRIC_INTERPRETATION
_PLAIN = (
    'Save it as one page of 1 or 3 interleaved bands with 8 or 16 unsigned bits, or '
    'read it with LoadBands (docs/own_data.md)'
)
_NOT_UNSIGNED = 'its values are signed, floating-point or 32-bit'
_warned: set[str] = set()  # kinds of warnings


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
            has_white_zero = False
            if isinstance(image, TiffImagePlugin.TiffImageFile):
                _check_tiff(image)
                has_white_zero = image.tag_v2.get(_PHOTOMETRIC) == 0
            elif getattr(image, 'is_animated', False) and image.format != 'MPO':
                _warn_once('frames', f'{path} is animated: its first frame is used.')
            # Pillow reads the high bytes only; the raw mode is lost by load()
            has_high_bytes = image.mode != 'P' and ';16' in str(image.tile)
            image.load()
            # Pillow gives 16-bit PGM, and in older versions PNG, a 32-bit mode
            is_16_bit = image.format in ('PPM', 'PNG') and image.mode == 'I'
            if not is_16_bit and image.mode in ('I', 'F'):
                raise _PixelError(_NOT_UNSIGNED)
            with suppress(Exception):  # ignore damaged EXIF
                image = ImageOps.exif_transpose(image)
            if has_high_bytes and image.mode in ('RGB', 'RGBA'):
                largest = int(np.asarray(image)[..., :3].max())
                _warn_of_few_bits(path, 256 * largest + 255)
            if is_16_bit or image.mode.startswith('I;16'):  # convert() clips to 255
                grey = np.asarray(image, np.int32)
                if has_white_zero:
                    grey = 65535 - grey
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


def _check_tiff(image: TiffImagePlugin.TiffImageFile) -> None:
    """Refuse what Pillow reads wrongly, or drops, without an error."""
    pages = count_pages(image)
    if pages > 1:
        raise _PixelError(f'it has {pages} pages')
    tags = image.tag_v2
    if _SIGNED in tags.get(TiffImagePlugin.SAMPLEFORMAT, ()):
        raise _PixelError(_NOT_UNSIGNED)
    bands = tags.get(TiffImagePlugin.SAMPLESPERPIXEL, 1)
    has_alpha = {1, 2} & {*tags.get(TiffImagePlugin.EXTRASAMPLES, ())}
    known = has_alpha or image.mode == 'CMYK' or bands in (1, 3)
    if bands > len(image.getbands()) or not known:
        raise _PixelError(f'it has {bands} bands, which are not all colours')
    in_planes = tags.get(TiffImagePlugin.PLANAR_CONFIGURATION, 1) == 2
    is_raw = tags.get(TiffImagePlugin.COMPRESSION, 1) == 1
    is_16_bit = 16 in tags.get(TiffImagePlugin.BITSPERSAMPLE, ())
    if in_planes and is_raw and is_16_bit and bands > 1:
        raise _PixelError('it stores 16-bit bands one after the other')


def count_pages(image: Image.Image) -> int:
    """Return the number of pages or frames, without the overviews of a TIFF."""
    frames = getattr(image, 'n_frames', 1)
    if not isinstance(image, TiffImagePlugin.TiffImageFile):
        return frames
    pages = 0
    for page in range(frames):
        image.seek(page)
        pages += not image.tag_v2.get(_SUBFILE_TYPE, 0) & _REDUCED_OR_MASK
    image.seek(0)
    return pages


def _warn_of_few_bits(path: str, largest: int) -> None:
    """Warn about 16-bit images with fewer used bits, such as 12."""
    if largest < 4096:
        _warn_once(
            'bits',
            f'{path} has 16 bits, but no value above {largest}: it becomes dark in 8 '
            'bits. Scale its values to 0 to 65535.',
        )


def _warn_once(kind: str, text: str) -> None:
    if kind not in _warned:
        _warned.add(kind)
        print_log(text, logger='current', level=logging.WARNING)


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
