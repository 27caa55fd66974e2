"""Load images."""

from typing import Any

import numpy as np
from mmcv.transforms import BaseTransform
from mmengine.registry import TRANSFORMS

from glore_mm.utils.images import read_image


@TRANSFORMS.register_module()
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

    def __repr__(self) -> str:
        return f'{type(self).__name__}()'
