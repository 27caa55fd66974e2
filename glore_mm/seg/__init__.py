"""Semantic segmentation with mmsegmentation: decode head, data sets, evaluation."""

from glore_mm.engine.transforms import LoadImage
from glore_mm.models.glore_head import GloReHead
from glore_mm.seg.benchmarks import (
    CamVid,
    CityscapesFolders,
    LongRangeStrips,
    PascalVOC,
)
from glore_mm.seg.datasets import ImageMaskDataset
from glore_mm.seg.evaluation import (
    LongRangePixelAccuracy,
    PerImageConfusionMatrix,
)
from glore_mm.seg.transforms import LoadSegLabels
from glore_mm.seg.visualization import SegPredictionHook, SegSubmissionHook

__all__ = [
    'CamVid',
    'CityscapesFolders',
    'GloReHead',
    'ImageMaskDataset',
    'LoadImage',
    'LoadSegLabels',
    'LongRangePixelAccuracy',
    'LongRangeStrips',
    'PascalVOC',
    'PerImageConfusionMatrix',
    'SegPredictionHook',
    'SegSubmissionHook',
]
