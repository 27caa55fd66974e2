"""Load images."""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from mmcv.transforms import BaseTransform
from mmengine.registry import TRANSFORMS
from PIL import Image

from glore_mm.utils.bands import (
    BandImage,
    draw_window,
    image_of_array,
    is_tiled_rgb,
    open_bands,
    picture_of_bands,
)
from glore_mm.utils.datasets import find_sample
from glore_mm.utils.errors import UserError
from glore_mm.utils.images import read_image


@TRANSFORMS.register_module()
@dataclass(eq=False)
class LoadImage(BaseTransform):
    """Load an image with `read_image`, instead of LoadImageFromFile.

    Required keys: img_path; or img, if mmpretrain's inferencer has read the image.
    Added keys: img, uint8 (H, W, 3), BGR; img_shape, ori_shape.
    """

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Add the image to `results`.

        Raises:
            UnreadableSampleError: See `read_image`.
        """
        if 'img' in results and 'img_path' not in results:
            return results
        rgb = np.asarray(read_image(results['img_path']))
        results['img'] = np.ascontiguousarray(rgb[..., ::-1])
        results['img_shape'] = results['ori_shape'] = rgb.shape[:2]
        return results

    @contextmanager
    def open(self, path: str) -> Iterator[BandImage]:
        """Open an image, BGR, to read windows of it; a tiled TIFF stays in its file."""
        with ExitStack() as stack:
            if is_tiled_rgb(path):
                rgb = stack.enter_context(open_bands(path, 3))
            else:
                rgb = image_of_array(np.asarray(read_image(path)), path, 3)

            def read(top: int, left: int, height: int, width: int, step: int) -> Any:
                return rgb.read((top, left, height, width), step)[..., ::-1]

            yield BandImage(path, rgb.shape, read)

    def picture(self, path: str, max_side: int | None = None) -> Image.Image:
        """Return an image file as RGB, to draw into it.

        Args:
            path (str): The file.
            max_side (int, optional): A larger image is reduced to this size.
        """
        if is_tiled_rgb(path):
            with open_bands(path, 3) as image:
                return Image.fromarray(image.read(step=image.step(max_side)))
        picture = read_image(path)
        if max_side is not None:
            picture.thumbnail((max_side, max_side))
        return picture


@TRANSFORMS.register_module()
@dataclass(eq=False)
class LoadBands(BaseTransform):
    """Load an image with any number of bands, see `open_bands`.

    The data preprocessor needs a mean and a std for each band, and no conversion of
    BGR to RGB.

    Required keys: img_path.
    Added keys: img, float32 (H, W, bands); img_shape, ori_shape; with `window`, also
    window (top, left, height, width) and file_shape (height, width).

    Args:
        bands (int): Number of bands of the files.
        rgb (Sequence[int]): Indices of the bands that pictures show as red, green and
            blue. Default: (0, 1, 2).
        window (Sequence[int], optional): Height and width of a random window to read
            instead of the whole image, for training on large images.
        fill (float, optional): Value in place of NaN and infinity, such as missing
            values. Default: a file that has them is an error.
    """

    bands: int
    rgb: Sequence[int] = (0, 1, 2)
    window: Sequence[int] | None = None
    fill: float | None = None

    def __post_init__(self) -> None:
        if len(self.rgb) != 3 or not 0 <= min(self.rgb) <= max(self.rgb) < self.bands:
            raise UserError(
                f'rgb of LoadBands must be three indices from 0 to {self.bands - 1}, '
                f'got {self.rgb!r}'
            )

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Add the image to `results`.

        Raises:
            UnreadableSampleError: See `open_bands`.
        """
        with self.open(results['img_path']) as file:
            window, shape = draw_window(file.shape, self.window), file.shape
            image = file.read(window)
        results['img'] = np.ascontiguousarray(image, np.float32)
        results['img_shape'] = results['ori_shape'] = image.shape[:2]
        if self.window is not None:
            results['window'], results['file_shape'] = window, shape
        return results

    def open(self, path: str) -> AbstractContextManager[BandImage]:
        """Open an image to read windows of it."""
        return open_bands(path, self.bands, self.fill)

    def picture(self, path: str, max_side: int | None = None) -> Image.Image:
        """Return three bands of an image file as RGB: see `LoadImage.picture`."""
        with self.open(path) as image:
            values = image.read(step=image.step(max_side))
        return Image.fromarray(picture_of_bands(values, self.rgb))


def find_loader(pipeline: Sequence[Any]) -> LoadImage | LoadBands:
    """Return the transform of a pipeline that can read a file as a picture.

    Args:
        pipeline (Sequence): Transforms, of which the first loads the image. A transform
            of another library reads RGB images, as LoadImage does.
    """
    first = pipeline[0] if pipeline else None
    return first if isinstance(first, LoadImage | LoadBands) else LoadImage()


def find_dataset_loader(dataset: Any) -> LoadImage | LoadBands:
    """Return the transform that loads the images of a data set, or of one it wraps."""
    source, _ = find_sample(dataset, 0)
    pipeline = getattr(source, 'pipeline', None)
    return find_loader(getattr(pipeline, 'transforms', ()))
