"""Semantic segmentation with mmsegmentation: decode head, data sets, evaluation."""

from glore_mm.engine.transforms import LoadBands, LoadImage
from glore_mm.models.bands import WithBands
from glore_mm.models.glore_head import GloReHead
from glore_mm.seg.benchmarks import (
    ADE20K,
    CHASEDB1,
    CamVid,
    CityscapesFolders,
    COCOStuff,
    LongRangeStrips,
    LoveDA,
    PascalContext59,
    PascalContext60,
    PascalVOC,
)
from glore_mm.seg.datasets import ImageMaskDataset
from glore_mm.seg.evaluation import (
    LongRangePixelAccuracy,
    PerImageConfusionMatrix,
)
from glore_mm.seg.folders import ImageMaskFolders
from glore_mm.seg.transforms import LoadSegLabels
from glore_mm.seg.visualization import SegPredictionHook, SegSubmissionHook

__all__ = [
    'ADE20K',
    'CHASEDB1',
    'COCOStuff',
    'CamVid',
    'CityscapesFolders',
    'GloReHead',
    'ImageMaskDataset',
    'ImageMaskFolders',
    'LoadBands',
    'LoadImage',
    'LoadSegLabels',
    'LongRangePixelAccuracy',
    'LongRangeStrips',
    'LoveDA',
    'PascalContext59',
    'PascalContext60',
    'PascalVOC',
    'PerImageConfusionMatrix',
    'SegPredictionHook',
    'SegSubmissionHook',
    'WithBands',
]
