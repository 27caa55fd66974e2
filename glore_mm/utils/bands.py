"""Images with any number of bands: TIFF and NumPy files."""

import os
import warnings
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from importlib.util import find_spec
from typing import Any

import numpy as np

from glore_mm.utils.errors import UnreadableSampleError, UserError, error_summary
from glore_mm.utils.images import IMAGE_SUFFIXES

#: File name endings of images for segmentation, lower case.
BAND_SUFFIXES = (*IMAGE_SUFFIXES, '.npy')

_CACHE = 64  # MB of blocks of an open TIFF

Window = tuple[int, int, int, int]  # top, left, height, width


class BandImage:
    """An open image with bands, which is read by windows.

    Attributes:
        path (str): The file.
        shape (tuple[int, int]): Height and width.
        fill (float, optional): Value in place of NaN and infinity. Default: these are
            an error.
    """

    fill: float | None = None

    def __init__(self, path: str, shape: Sequence[int], read: Any) -> None:
        self.path = path
        self.shape = (int(shape[0]), int(shape[1]))
        self._read = read

    def read(self, window: Window | None = None, step: int = 1) -> np.ndarray:
        """Read a window.

        Args:
            window (tuple[int, int, int, int], optional): Top, left, height, width.
                Default: the whole image.
            step (int): Read every `step`-th row and column. Default: 1.

        Returns:
            np.ndarray: (h, w, bands).

        Raises:
            UnreadableSampleError: The file is damaged, or has values that are not
                finite.
        """
        with _errors_of(self.path):
            values: np.ndarray = self._read(*(window or (0, 0, *self.shape)), step)
        if values.dtype.kind != 'f' or (finite := np.isfinite(values)).all():
            return values
        if self.fill is None:
            raise UnreadableSampleError.of(
                self.path,
                f'has {(~finite).sum()} values that are NaN or infinite',
                'Replace them, or give fill=0 to LoadBands in the config',
            )
        return np.where(finite, values, values.dtype.type(self.fill))

    def step(self, max_side: int | None) -> int:
        """Return the step at which no side of the image is larger than `max_side`."""
        return -(-max(self.shape) // max_side) if max_side else 1


@contextmanager
def open_bands(path: str, count: int, fill: float | None = None) -> Iterator[BandImage]:
    """Open an image with bands.

    rasterio reads TIFFs where it is installed, otherwise tifffile. Of a NumPy file, and
    with rasterio of a TIFF, `read` reads only the window.

    Args:
        path (str): A TIFF, or a NumPy file: an array (H, W, bands) or (bands, H, W).
        count (int): Number of bands.
        fill (float, optional): As for `BandImage`.

    Raises:
        UnreadableSampleError: The file is missing or damaged, or has another number of
            bands.
        UserError: Neither rasterio nor tifffile is installed.
    """
    open_file = _open_npy if path.lower().endswith('.npy') else _open_tiff
    with ExitStack() as stack:
        with _errors_of(path):
            image = stack.enter_context(open_file(path, count))
        image.fill = fill
        yield image


def image_of_array(array: np.ndarray, path: str, count: int) -> BandImage:
    """Return an array as an image that is read by windows.

    Args:
        array (np.ndarray): (H, W, bands) or (bands, H, W).
        path (str): Its file, for messages.
        count (int): Number of bands.

    Raises:
        UnreadableSampleError: The array has another number of bands.
    """
    if array.ndim == 2:
        array = array[..., None]
    if array.ndim == 3 and array.shape[2] != count and array.shape[0] == count:
        array = array.transpose(1, 2, 0)
    if array.ndim != 3 or array.shape[2] != count:
        raise _wrong_bands(path, f'the shape {array.shape}', count)

    def read(top: int, left: int, height: int, width: int, step: int) -> np.ndarray:
        rows, columns = slice(top, top + height, step), slice(left, left + width, step)
        return np.asarray(array[rows, columns])

    return BandImage(path, array.shape, read)


def is_tiled_rgb(path: str) -> bool:
    """Whether a file is a tiled TIFF of 8-bit RGB, and rasterio is installed."""
    if not path.lower().endswith(('.tif', '.tiff')) or find_spec('rasterio') is None:
        return False
    import rasterio

    try:
        with _without_warnings(), rasterio.open(path) as file:
            is_rgb = file.count == 3 and set(file.dtypes) == {'uint8'}
            return is_rgb and bool(file.profile.get('tiled'))
    except rasterio.errors.RasterioError:
        return False


def picture_of_bands(values: np.ndarray, rgb: Sequence[int]) -> np.ndarray:
    """Draw three bands as red, green and blue.

    Each band is scaled so that its 2nd and 98th percentile become 0 and 255.

    Args:
        values (np.ndarray): (H, W, bands).
        rgb (Sequence[int]): Indices of the three bands.

    Returns:
        np.ndarray: uint8 (H, W, 3).
    """
    shown = values[..., list(rgb)].astype(np.float32)
    low, high = np.percentile(shown, (2, 98), axis=(0, 1))
    scaled = (shown - low) / np.maximum(high - low, 1e-12)
    return np.rint(255 * scaled.clip(0, 1)).astype(np.uint8)


@contextmanager
def _errors_of(path: str) -> Iterator[None]:
    """Convert the errors of reading a file."""
    try:
        yield
    except UserError:
        raise
    except Exception as error:  # each format raises its own type
        problem = f'cannot be read as an image with bands: {error_summary(error)}'
        if not os.path.exists(path):
            problem = 'no such file'
        raise UnreadableSampleError.of(path, problem.rstrip('.')) from error


@contextmanager
def _open_npy(path: str, count: int) -> Iterator[BandImage]:
    yield image_of_array(np.load(path, mmap_mode='r', allow_pickle=False), path, count)


@contextmanager
def _open_tiff(path: str, count: int) -> Iterator[BandImage]:
    try:
        import rasterio
    except ImportError:
        yield image_of_array(_tifffile().imread(path), path, count)
        return
    # GDAL would keep as many blocks as fit into 5 % of the machine's memory
    cache = rasterio.Env(GDAL_CACHEMAX=_CACHE)
    with _without_warnings(), cache, rasterio.open(path) as file:
        if file.count != count:
            raise _wrong_bands(path, f'{file.count} band(s)', count)

        def read(top: int, left: int, height: int, width: int, step: int) -> Any:
            part = (top, top + height), (left, left + width)
            size = (count, -(-height // step), -(-width // step))
            return file.read(window=part, out_shape=size).transpose(1, 2, 0)

        yield BandImage(path, file.shape, read)


@contextmanager
def _without_warnings() -> Iterator[None]:
    """Ignore that a TIFF has no coordinates, as those of microscopes and cameras."""
    from rasterio.errors import NotGeoreferencedWarning

    with warnings.catch_warnings():
        warnings.simplefilter('ignore', NotGeoreferencedWarning)
        yield


def _tifffile() -> Any:
    try:
        import tifffile
    except ImportError as error:
        raise UserError(
            f'{error}, nor rasterio: one of them reads TIFFs with bands: '
            'pip install rasterio'
        ) from error
    return tifffile


def _wrong_bands(path: str, found: str, count: int) -> UnreadableSampleError:
    advice = 'Correct the file, or bands of LoadBands in the config'
    problem = f'has {found}, but the config expects {count} band(s)'
    return UnreadableSampleError.of(path, problem, advice)


def draw_window(shape: Sequence[int], size: Sequence[int] | None) -> Window:
    """Draw a window of a size from an image, with NumPy's random state.

    The window is the whole image where `size` is None or the image is smaller.
    """
    height, width = (min(a, b) for a, b in zip(shape, size or shape, strict=True))
    top = np.random.randint(shape[0] - height + 1)
    left = np.random.randint(shape[1] - width + 1)
    return top, left, height, width
