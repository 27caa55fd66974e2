"""Images with any number of bands: TIFF and NumPy files."""

import os
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np

from glore_mm.utils.errors import UnreadableSampleError, UserError, error_summary

#: File name endings of images with bands, lower case.
BAND_SUFFIXES = ('.tif', '.tiff', '.npy')

Window = tuple[int, int, int, int]  # top, left, height, width


def read_bands(
    path: str, count: int, window_size: Sequence[int] | None = None
) -> tuple[np.ndarray, Window, tuple[int, int]]:
    """Read an image with bands, or a random window of it.

    rasterio reads TIFFs where it is installed, otherwise tifffile. Of a NumPy file, and
    with rasterio of a TIFF, only the window is read.

    Args:
        path (str): A TIFF, or a NumPy file: an array (H, W, bands) or (bands, H, W).
        count (int): Number of bands.
        window_size (Sequence[int], optional): Height and width of a window, drawn with
            NumPy's random state. An image that is smaller is read whole.

    Returns:
        tuple[np.ndarray, Window, tuple[int, int]]: The values, (h, w, bands); the
        window; height and width of the image.

    Raises:
        UnreadableSampleError: The file is missing or damaged, or has another number of
            bands.
        UserError: Neither rasterio nor tifffile is installed.
    """
    read = _read_npy if path.lower().endswith('.npy') else _read_tiff
    try:
        return read(path, count, window_size)
    except UserError:
        raise
    except Exception as error:  # each format raises its own type
        problem = f'cannot be read as an image with bands: {error_summary(error)}'
        if not os.path.exists(path):
            problem = 'no such file'
        raise UnreadableSampleError.of(path, problem.rstrip('.')) from error


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


def _read_npy(path: str, count: int, size: Sequence[int] | None) -> Any:
    return _cut(np.load(path, mmap_mode='r', allow_pickle=False), path, count, size)


def _read_tiff(path: str, count: int, size: Sequence[int] | None) -> Any:
    try:
        import rasterio
    except ImportError:
        return _cut(_tifffile().imread(path), path, count, size)
    with warnings.catch_warnings():
        # most images of microscopes and cameras have no coordinates
        warnings.simplefilter('ignore', rasterio.errors.NotGeoreferencedWarning)
        with rasterio.open(path) as file:
            if file.count != count:
                raise _wrong_bands(path, f'{file.count} band(s)', count)
            window = _draw_window(file.shape, size)
            top, left, height, width = window
            part = (top, top + height), (left, left + width)
            return file.read(window=part).transpose(1, 2, 0), window, file.shape


def _tifffile() -> Any:
    try:
        import tifffile
    except ImportError as error:
        raise UserError(
            f'{error}, nor rasterio: one of them reads TIFFs with bands: '
            'pip install rasterio'
        ) from error
    return tifffile


def _cut(array: np.ndarray, path: str, count: int, size: Sequence[int] | None) -> Any:
    """Return the window of an array (H, W, bands) or (bands, H, W)."""
    if array.ndim == 2:
        array = array[..., None]
    if array.ndim == 3 and array.shape[2] != count and array.shape[0] == count:
        array = array.transpose(1, 2, 0)
    if array.ndim != 3 or array.shape[2] != count:
        raise _wrong_bands(path, f'the shape {array.shape}', count)
    window = _draw_window(array.shape[:2], size)
    top, left, height, width = window
    part = array[top : top + height, left : left + width]
    return np.asarray(part), window, array.shape[:2]


def _wrong_bands(path: str, found: str, count: int) -> UnreadableSampleError:
    advice = 'Correct the file, or bands of LoadBands in the config'
    problem = f'has {found}, but the config expects {count} band(s)'
    return UnreadableSampleError.of(path, problem, advice)


def _draw_window(shape: Sequence[int], size: Sequence[int] | None) -> Window:
    height, width = (min(a, b) for a, b in zip(shape, size or shape, strict=True))
    top = np.random.randint(shape[0] - height + 1)
    left = np.random.randint(shape[1] - width + 1)
    return top, left, height, width
