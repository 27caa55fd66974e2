"""Video with mmaction2: the released 3D network, clips, evaluation."""

from glore_mm.video.augmentation import HLSJitter, PixelJitter, RandomScaleAspect
from glore_mm.video.datasets import KineticsFrames, KineticsVideos
from glore_mm.video.far_cues import FarCueClipAccuracy, LastFrameHead
from glore_mm.video.non_local import NonLocal3d
from glore_mm.video.pictures import SaveStrips
from glore_mm.video.preact_resnet3d import PreActResNet3d
from glore_mm.video.reading import DecodeFrames, DecodeVideo, OpenVideo, SampleClips
from glore_mm.video.views import MixedCrops

__all__ = [
    'DecodeFrames',
    'DecodeVideo',
    'FarCueClipAccuracy',
    'HLSJitter',
    'KineticsFrames',
    'KineticsVideos',
    'LastFrameHead',
    'MixedCrops',
    'NonLocal3d',
    'OpenVideo',
    'PixelJitter',
    'PreActResNet3d',
    'RandomScaleAspect',
    'SampleClips',
    'SaveStrips',
]
