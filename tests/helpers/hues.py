"""Images with rotated hue, computed independently."""

import colorsys

import numpy as np


def rotate_hue(image, turn):
    """Rotate the hue of an RGB image by a part of the circle, by definition."""
    for colour in image.reshape(-1, 3) / 255:
        hue, saturation, value = colorsys.rgb_to_hsv(*colour)
        yield colorsys.hsv_to_rgb((hue + turn) % 1, saturation, value)


def difference(image, expected):
    """Mean and largest difference, on a scale of 0 to 255."""
    found = np.abs(image.reshape(-1, 3) - 255 * np.array(list(expected)))
    return found.mean(), found.max()
