"""Reading photographs of every kind, and refusing those that are damaged."""

import io

import numpy as np
from mmcv.transforms import BaseTransform
from mmengine import fileio
from mmpretrain.registry import TRANSFORMS
from PIL import Image, ImageOps

from glore_mm.engine import Unreadable


def read_photograph(path: str) -> Image.Image:
    """Read a photograph as a person would see it.

    Grey, CMYK, palette and 16-bit files become 8-bit RGB, transparency is dropped, and
    the orientation that a camera has noted (EXIF) is applied.

    Args:
        path (str): The file.

    Returns:
        Image.Image: RGB, upright.

    Raises:
        Unreadable: The file is missing, is no image, or is damaged or truncated.
    """
    try:
        image = Image.open(io.BytesIO(fileio.get(path)))
        image.load()
        image = ImageOps.exif_transpose(image)
        if image.mode.startswith('I;16'):  # which convert() would clip at 255
            image = Image.fromarray((np.asarray(image) / 257).round().astype(np.uint8))
        if image.mode in ('I', 'F'):
            raise ValueError('its pixels have 32 bits; save it with 8 or 16')
        return image.convert('RGB')
    except FileNotFoundError as error:
        raise Unreadable.of(path, 'no such file') from error
    except Exception as error:  # each format has its own
        # what Pillow says of a stream that it was given names the stream
        reason = str(error).split(' <_io')[0] or type(error).__name__
        raise Unreadable.of(path, f'cannot be read as an image: {reason}') from error


@TRANSFORMS.register_module()
class LoadPhotograph(BaseTransform):
    """Load a photograph with `read_photograph`, in place of LoadImageFromFile.

    Required keys: img_path.
    Added keys: img, uint8 (H, W, 3), BGR as mmpretrain has it; img_shape, ori_shape.
    """

    def transform(self, results: dict) -> dict:
        """Add the image to `results`.

        Raises:
            Unreadable: As `read_photograph`.
        """
        rgb = np.asarray(read_photograph(results['img_path']))
        results['img'] = np.ascontiguousarray(rgb[..., ::-1])
        results['img_shape'] = results['ori_shape'] = rgb.shape[:2]
        return results

    def __repr__(self) -> str:
        return f'{type(self).__name__}()'
