"""Classification with mmpretrain: backbones, data sets, prediction images."""

from glore_mm.cls.benchmarks import CUB200, CIFAR100Files, INaturalist
from glore_mm.cls.datasets import ClassFolders, ImageNetFolders
from glore_mm.cls.table import ImageTable
from glore_mm.cls.visualization import ClsPredictionHook
from glore_mm.engine.transforms import LoadBands, LoadImage
from glore_mm.models.bands import WithBands
from glore_mm.models.dual_path import DualPathGloRe2d
from glore_mm.models.preact_resnet import PreActResNet

__all__ = [
    'CUB200',
    'CIFAR100Files',
    'ClassFolders',
    'ClsPredictionHook',
    'DualPathGloRe2d',
    'INaturalist',
    'ImageNetFolders',
    'ImageTable',
    'LoadBands',
    'LoadImage',
    'PreActResNet',
    'WithBands',
]
