"""Video classification with mmaction2: 3D backbone, clips, evaluation."""

from glore_mm.models.last_frame_head import LastFrameHead
from glore_mm.models.non_local3d import NonLocal3d
from glore_mm.models.preact_resnet3d import PreActResNet3d
from glore_mm.video.augmentation import HLSJitter, PixelNoise, RandomScaleAspect
from glore_mm.video.datasets import KineticsFrames, KineticsVideos, VideoFolders
from glore_mm.video.evaluation import LongRangeClipAccuracy
from glore_mm.video.transforms import (
    CenterAndRandomCrops,
    RawFramesDecode,
    StrictSampleFrames,
    VideoDecode,
    VideoInit,
)
from glore_mm.video.visualization import VideoPredictionHook

__all__ = [
    'CenterAndRandomCrops',
    'HLSJitter',
    'KineticsFrames',
    'KineticsVideos',
    'LastFrameHead',
    'LongRangeClipAccuracy',
    'NonLocal3d',
    'PixelNoise',
    'PreActResNet3d',
    'RandomScaleAspect',
    'RawFramesDecode',
    'StrictSampleFrames',
    'VideoDecode',
    'VideoFolders',
    'VideoInit',
    'VideoPredictionHook',
]
