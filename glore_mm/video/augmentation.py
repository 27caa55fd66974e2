"""Data augmentation of the GloRe release for training clips.

Source: `data/image_transforms.py` of https://github.com/facebookresearch/GloRe. For
cropping and flipping, between rescaling and colour changes, use mmaction2's RandomCrop
and Flip. All transforms draw from NumPy's global random state, as in mmaction2.
"""

import math
from dataclasses import dataclass
from typing import Any

import cv2
import mmcv
import numpy as np
from mmaction.registry import TRANSFORMS
from mmcv.transforms import BaseTransform


@TRANSFORMS.register_module()
@dataclass(eq=False)
class RandomScaleAspect(BaseTransform):
    """Rescale a clip to a random size and aspect ratio.

    A factor is the mean of two uniform draws from `aspect` or, with probability 0.5,
    the inverse of this mean. The width is multiplied and the height divided by it. Then
    both are scaled so that the shorter side has a uniformly drawn length.

    Required keys: imgs, img_shape.
    Modified keys: imgs, img_shape, scale_factor.
    Added keys: keep_ratio.

    Args:
        short_side (tuple[float, float]): Range of the shorter side, in pixels.
            Default: (224, 340).
        aspect (tuple[float, float]): Range of the factor. Default: (0.8, 1.25).
    """

    short_side: tuple[float, float] = (224, 340)
    aspect: tuple[float, float] = (0.8, 1.25)

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Rescale `imgs`."""
        height, width = results['img_shape']
        factor = np.random.uniform(*self.aspect, size=2).mean()
        if np.random.rand() < 0.5:
            factor = 1 / factor
        scale = np.random.uniform(*self.short_side)
        scale /= min(width * factor, height / factor)
        # rounded up, so that a crop of the smallest size fits
        new_width = math.ceil(width * factor * scale)
        new_height = math.ceil(height / factor * scale)
        results['imgs'] = [
            mmcv.imresize(image, (new_width, new_height)) for image in results['imgs']
        ]
        results['img_shape'] = new_height, new_width
        results['keep_ratio'] = False
        results['scale_factor'] = results.get('scale_factor', 1) * np.array(
            [new_width / width, new_height / height], dtype=np.float32
        )
        return results


@TRANSFORMS.register_module()
@dataclass(eq=False)
class HLSJitter(BaseTransform):
    """Shift hue, lightness and saturation of a clip, clamped at their limits.

    Required and modified keys: imgs, uint8, RGB.

    Args:
        hue (float): Largest shift, in OpenCV's unit of 2°. Default: 15.
        lightness (float): Largest shift, on a scale of 0 to 255. Default: 35.
        saturation (float): Largest shift, on a scale of 0 to 255. Default: 25.
    """

    hue: float = 15
    lightness: float = 35
    saturation: float = 25

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Shift the colours of `imgs`."""
        largest = np.array([self.hue, self.lightness, self.saturation])
        # integers, truncated towards zero
        shift = np.random.uniform(-largest, largest).astype(np.int16)
        results['imgs'] = [self._shifted(image, shift) for image in results['imgs']]
        return results

    @staticmethod
    def _shifted(image: np.ndarray, shift: np.ndarray) -> np.ndarray:
        hls = cv2.cvtColor(image, cv2.COLOR_RGB2HLS) + shift
        hls = hls.clip(0, (180, 255, 255)).astype(np.uint8)
        return cv2.cvtColor(hls, cv2.COLOR_HLS2RGB)


@TRANSFORMS.register_module()
@dataclass(eq=False)
class PixelNoise(BaseTransform):
    """Add uniform noise to every pixel and channel of every frame, without clamping.

    For each clip, the lower limit of the noise is drawn uniformly from [low, 0] and the
    upper limit from [0, high].

    Required and modified keys: imgs, which become float32.

    Args:
        low (float): Smallest lower limit, on a scale of 0 to 255. Default: -20.
        high (float): Largest upper limit, on a scale of 0 to 255. Default: 20.
    """

    low: float = -20
    high: float = 20

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Add noise to `imgs`."""
        low, high = np.random.uniform([self.low, 0], [0, self.high])
        results['imgs'] = [
            (image + np.random.uniform(low, high, image.shape)).astype(np.float32)
            for image in results['imgs']
        ]
        return results
