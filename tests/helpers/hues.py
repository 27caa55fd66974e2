"""Images with their hue turned, computed independently."""

import colorsys

import numpy as np


def turned(image, turn):
    """An RGB image whose hue is turned by a part of the circle, by the book."""
    for colour in image.reshape(-1, 3) / 255:
        hue, saturation, value = colorsys.rgb_to_hsv(*colour)
        yield colorsys.hsv_to_rgb((hue + turn) % 1, saturation, value)


def difference(image, expected):
    """Mean and greatest difference, of 255."""
    found = np.abs(image.reshape(-1, 3) - 255 * np.array(list(expected)))
    return found.mean(), found.max()
