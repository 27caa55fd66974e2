"""Images of label maps."""

import numpy as np

from glore_mm.seg.visualization import colorize, overlay, panels


def test_images():
    palette = [[255, 0, 0], [0, 255, 0]]
    labels = np.array([[0, 1], [255, 1]])
    colours = colorize(labels, palette)
    assert colours.tolist() == [[[255, 0, 0], [0, 255, 0]], [[0, 0, 0], [0, 255, 0]]]
    image = np.full((2, 2, 3), 100, np.uint8)
    assert overlay(image, labels, palette)[0, 0].tolist() == [177, 50, 50]
    sheet = np.asarray(panels({'left': colours, 'right': image}))
    assert sheet.shape[1:] == (4, 3)
    np.testing.assert_array_equal(sheet[-2:, :2], colours)
    np.testing.assert_array_equal(sheet[-2:, 2:], image)
