"""Images of label maps."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from mmengine.structures import PixelData
from mmseg.datasets import ADE20KDataset, CityscapesDataset
from mmseg.structures import SegDataSample

from glore_mm.seg.visualization import SegSubmissionHook, colorize, overlay, panels


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


@pytest.mark.parametrize(
    ('classes', 'values'),
    [
        (CityscapesDataset.METAINFO['classes'], [7, 8, 33]),
        (ADE20KDataset.METAINFO['classes'], [1, 2, 19]),
        (('a', 'b'), [0, 1, 18]),
    ],
    ids=['Cityscapes', 'ADE20K', 'others'],
)
def test_submissions_have_the_values_of_the_server(classes, values, tmp_path):
    labels = torch.tensor([[[0, 1, 18]]])
    sample = SegDataSample(pred_sem_seg=PixelData(data=labels))
    dataset = SimpleNamespace(metainfo=dict(classes=classes))
    image = SegSubmissionHook(str(tmp_path)).draw(sample, dataset, {}, 0)
    assert np.asarray(image).tolist() == [values]
