"""Semantic segmentation with mmsegmentation: the decode head, data sets, evaluation."""

from glore_mm.seg.datasets import CamVid, CityscapesFolders, PascalVOC
from glore_mm.seg.evaluation import CityscapesSubmission, PerImageConfusion
from glore_mm.seg.far_cues import FarCuePixelAccuracy, FarCues
from glore_mm.seg.glore_head import GloReHead
from glore_mm.seg.loading import LoadLabels
from glore_mm.seg.pictures import SavePictures

__all__ = [
    'CamVid',
    'CityscapesFolders',
    'CityscapesSubmission',
    'FarCuePixelAccuracy',
    'FarCues',
    'GloReHead',
    'LoadLabels',
    'PascalVOC',
    'PerImageConfusion',
    'SavePictures',
]
