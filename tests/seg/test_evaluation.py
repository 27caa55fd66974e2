"""Confusion matrices."""

import numpy as np
import pytest
import torch
from mmengine.structures import PixelData
from mmseg.evaluation import IoUMetric
from mmseg.structures import SegDataSample

import glore_mm.seg
from glore_mm.analysis.dumps import class_iou


def samples(n=3, classes=19):
    generator = torch.Generator().manual_seed(0)
    for index in range(n):
        truth = torch.randint(0, classes, (1, 8, 9), generator=generator)
        predicted = torch.where(
            torch.rand(1, 8, 9, generator=generator) < 0.5, truth, truth.flip(1)
        )
        truth[0, 0, index] = 255
        yield SegDataSample(
            metainfo=dict(img_path=f'city/image{index}.png'),
            gt_sem_seg=PixelData(data=truth),
            pred_sem_seg=PixelData(data=predicted),
        ).to_dict()


META = glore_mm.seg.CityscapesFolders.METAINFO


def test_confusion_matrices_give_the_miou_of_mmseg(tmp_path):
    path = tmp_path / 'new' / 'dump.npz'
    dump = glore_mm.seg.PerImageConfusionMatrix(str(path))
    reference = IoUMetric()
    for metric in (dump, reference):
        metric.dataset_meta = META
        metric.process({}, list(samples()))
    assert dump.evaluate(3) == {}
    expected = reference.evaluate(3)['mIoU']
    with np.load(path) as arrays:  # loads without allow_pickle
        assert arrays['names'].tolist() == [f'city/image{i}.png' for i in range(3)]
        assert arrays['classes'].tolist() == list(META['classes'])
        confusion = arrays['confusion']
    assert confusion.shape == (3, 19, 19)
    assert confusion.sum() == 3 * (8 * 9 - 1)
    for matrix, sample in zip(confusion, samples(), strict=True):
        truth = sample['gt_sem_seg']['data']
        assert matrix.sum(axis=1)[4] == (truth == 4).sum()
    assert 100 * np.nanmean(class_iou(confusion.sum(0))) == pytest.approx(
        expected, abs=0.01
    )
