"""Video with mmaction2: the released 3D network, clips, evaluation."""

from mmcv.cnn.bricks import NonLocal3d
from mmengine.registry import MODELS

from glore_mm.video.augmentation import HLSJitter, PixelJitter, RandomScaleAspect
from glore_mm.video.datasets import KineticsFrames, KineticsVideos, SkippedClips
from glore_mm.video.evaluation import PerVideoScores
from glore_mm.video.pictures import SaveStrips
from glore_mm.video.preact_resnet3d import PreActResNet3d
from glore_mm.video.readers import UnreadableClip
from glore_mm.video.reading import DecodeFrames, DecodeVideo, OpenVideo, SampleClips
from glore_mm.video.views import MixedCrops

# mmcv leaves its Non-local block for video out of the registry; configs set it where
# they set units
if 'NonLocal3d' not in MODELS:
    MODELS.register_module(module=NonLocal3d)

__all__ = [
    'DecodeFrames',
    'DecodeVideo',
    'HLSJitter',
    'KineticsFrames',
    'KineticsVideos',
    'MixedCrops',
    'OpenVideo',
    'PerVideoScores',
    'PixelJitter',
    'PreActResNet3d',
    'RandomScaleAspect',
    'SampleClips',
    'SaveStrips',
    'SkippedClips',
    'UnreadableClip',
]
