"""Reading photographs of every kind, and refusing those that are damaged."""

import io
import warnings
from typing import Any

import numpy as np
from mmcv.transforms import BaseTransform
from mmengine import fileio
from mmpretrain.registry import TRANSFORMS
from PIL import Image

from glore_mm.engine import bad_image

#: What images of a folder end with, lower case.
SUFFIXES = (
    '.jpg', '.jpeg', '.png', '.webp', '.gif', '.bmp', '.tif', '.tiff', '.ppm', '.pgm',
)  # fmt: skip
_ORIENTATION = 0x0112  # in EXIF
_TURNED: dict[object, Image.Transpose] = {  # what sets it upright
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


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
    advice = 'Fetch it again'
    try:
        with warnings.catch_warnings():  # they name no file
            warnings.simplefilter('ignore')
            image = Image.open(io.BytesIO(fileio.get(path)))
            image.load()
            # a 16-bit PGM, and PNG in older Pillows, are said to have 32
            deep = image.format in ('PPM', 'PNG') and image.mode == 'I'
            if deep or image.mode.startswith('I;16'):  # convert() would clip at 255
                grey = ((np.asarray(image, np.int32) + 128) // 257).astype(np.uint8)
                image = _upright(Image.fromarray(grey), image)
            elif image.mode in ('I', 'F'):
                advice = 'Save it with 8 or 16'
                raise ValueError('its pixels have 32 bits')
            else:
                image = _upright(image, image)
            return image if image.mode == 'RGB' else image.convert('RGB')
    except Exception as error:  # each format has its own
        raise bad_image(path, error, advice) from error


def _upright(image: Image.Image, source: Image.Image) -> Image.Image:
    """The image as its source's camera was held; damaged EXIF says nothing."""
    try:
        turned = _TURNED.get(source.getexif().get(_ORIENTATION))
    except Exception:  # whatever the damage makes of it
        turned = None
    return image if turned is None else image.transpose(turned)


@TRANSFORMS.register_module()
class LoadPhotograph(BaseTransform):
    """Load a photograph with `read_photograph`, in place of LoadImageFromFile.

    Required keys: img_path; or img, as mmpretrain's inferencer has read it by itself.
    Added keys: img, uint8 (H, W, 3), BGR as mmpretrain has it; img_shape, ori_shape.
    """

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Add the image to `results`.

        Raises:
            Unreadable: As `read_photograph`.
        """
        if 'img' in results and 'img_path' not in results:
            return results
        rgb = np.asarray(read_photograph(results['img_path']))
        results['img'] = np.ascontiguousarray(rgb[..., ::-1])
        results['img_shape'] = results['ori_shape'] = rgb.shape[:2]
        return results

    def __repr__(self) -> str:
        return f'{type(self).__name__}()'
