"""Semantic segmentation with mmsegmentation: the decode head, data sets, evaluation."""

from glore_mm.models.glore_head import GloReHead
from glore_mm.seg.datasets import (
    CamVid,
    CityscapesFolders,
    ImageMaskDataset,
    LongRangeStrips,
    PascalVOC,
)
from glore_mm.seg.evaluation import (
    CityscapesSubmission,
    LongRangePixelAccuracy,
    PerImageConfusionMatrix,
)
from glore_mm.seg.transforms import LoadSegLabels
from glore_mm.seg.visualization import SegPredictionHook

__all__ = [
    'CamVid',
    'CityscapesFolders',
    'CityscapesSubmission',
    'GloReHead',
    'ImageMaskDataset',
    'LoadSegLabels',
    'LongRangePixelAccuracy',
    'LongRangeStrips',
    'PascalVOC',
    'PerImageConfusionMatrix',
    'SegPredictionHook',
]
