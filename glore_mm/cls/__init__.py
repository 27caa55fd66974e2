"""Classification with mmpretrain: networks of the release, photographs, evaluation."""

from glore_mm.cls.datasets import ClassFolders, ImageNetFolders
from glore_mm.cls.pictures import SavePhotographs
from glore_mm.cls.reading import LoadPhotograph
from glore_mm.preact_resnet import PreActResNet

__all__ = [
    'ClassFolders',
    'ImageNetFolders',
    'LoadPhotograph',
    'PreActResNet',
    'SavePhotographs',
]
