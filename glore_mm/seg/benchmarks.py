"""Published segmentation data sets in their own layouts."""

import os.path as osp
from typing import Any

from mmseg.datasets import (
    ADE20KDataset,
    ChaseDB1Dataset,
    CityscapesDataset,
    COCOStuffDataset,
    LoveDADataset,
    PascalContextDataset,
    PascalContextDataset59,
    PascalVOCDataset,
)
from mmseg.registry import DATASETS

from glore_mm.seg.datasets import ImageMaskDataset
from glore_mm.synthetic.long_range_strips import COLORS
from glore_mm.utils.cityscapes_labels import TRAIN_ID_OF_LABEL_ID

_FROM_LABEL_IDS = dict(enumerate(TRAIN_ID_OF_LABEL_ID.tolist()))
# values that no class of COCO-Stuff has: an error in a label map
_UNUSED_COCO_IDS = (11, 25, 28, 29, 44, 65, 67, 68, 70, 82, 90)
_FROM_COCO_IDS = {
    **dict.fromkeys(_UNUSED_COCO_IDS, -1),
    **{
        value: index
        for index, value in enumerate(
            value for value in range(182) if value not in _UNUSED_COCO_IDS
        )
    },
}


@DATASETS.register_module()
class CityscapesFolders(ImageMaskDataset):
    """Cityscapes in the layout of its archives, with PNG or JPEG images.

    Reads `*_labelTrainIds.png` where they exist. Otherwise reads `*_labelIds.png` and
    maps them to train ids while loading.
    """

    METAINFO = CityscapesDataset.METAINFO
    image_endings = tuple(f'_leftImg8bit{e}' for e in ImageMaskDataset.image_endings)
    label_endings = {
        '_gtFine_labelTrainIds.png': None,
        '_gtFine_labelIds.png': _FROM_LABEL_IDS,
    }


@DATASETS.register_module()
class PascalVOC(ImageMaskDataset):
    """Pascal VOC 2012: the images in a list file."""

    METAINFO = PascalVOCDataset.METAINFO
    image_endings = ('.jpg',)


@DATASETS.register_module()
class CamVid(ImageMaskDataset):
    """CamVid with the 11 classes of SegNet, in one of two layouts.

    SegNet tutorial: folders `train` and `trainannot` (also for `val` and `test`), with
    labels from 0 in the order of the classes and 11 for unlabelled pixels. Cityscapes:
    its folders and label values; the split 'test' is read from `val` if there is no
    `test` folder.

    Args:
        data_root (str): The folder with one of these layouts.
        split (str): 'train', 'val' or 'test'.
        kwargs: As for mmseg's BaseSegDataset.
    """

    METAINFO = dict(
        classes=(
            'sky', 'building', 'pole', 'road', 'sidewalk', 'tree', 'sign', 'fence',
            'car', 'pedestrian', 'bicyclist',
        ),
        palette=[
            [128, 128, 128], [128, 0, 0], [192, 192, 128], [128, 64, 128],
            [60, 40, 222], [128, 128, 0], [192, 128, 128], [64, 64, 128],
            [64, 0, 128], [64, 64, 0], [0, 128, 192],
        ],
    )  # fmt: skip
    # Cityscapes' trainIds in the order of the classes above
    _TRAIN_IDS = (10, 2, 5, 0, 1, 8, 7, 4, 13, 11, 12)

    label_endings = {'.png': {11: 255}}

    def __init__(self, data_root: str, split: str, **kwargs: Any) -> None:
        if osp.isdir(osp.join(data_root, 'leftImg8bit')):
            classes = {train_id: c for c, train_id in enumerate(self._TRAIN_IDS)}
            same = {value: value for value in range(256)}
            self.image_endings = CityscapesFolders.image_endings
            self.label_endings = {
                ending: {
                    value: classes.get(train_id, 255)
                    for value, train_id in (label_map or same).items()
                }
                for ending, label_map in CityscapesFolders.label_endings.items()
            }
            if split == 'test' and not osp.isdir(
                osp.join(data_root, 'leftImg8bit', 'test')
            ):
                split = 'val'
            prefix = dict(
                img_path=f'leftImg8bit/{split}', seg_map_path=f'gtFine/{split}'
            )
        else:
            prefix = dict(img_path=split, seg_map_path=f'{split}annot')
        super().__init__(data_root=data_root, data_prefix=prefix, **kwargs)


class _ClassesFromOne(ImageMaskDataset):
    """Label maps with the classes from 1, where 0 is not scored.

    Args:
        reduce_zero_label (bool): Whether this is so; otherwise, the classes start at 0.
            Default: True.
        kwargs: As for mmseg's BaseSegDataset.
    """

    def __init__(self, reduce_zero_label: bool = True, **kwargs: Any) -> None:
        super().__init__(reduce_zero_label=reduce_zero_label, **kwargs)


@DATASETS.register_module()
class ADE20K(_ClassesFromOne):
    """ADE20K with 150 classes, in the layout of its archive."""

    METAINFO = ADE20KDataset.METAINFO
    image_endings = ('.jpg',)


@DATASETS.register_module()
class PascalContext59(_ClassesFromOne):
    """Pascal Context without its background: the images in a list file."""

    METAINFO = PascalContextDataset59.METAINFO
    image_endings = ('.jpg',)


@DATASETS.register_module()
class PascalContext60(ImageMaskDataset):
    """Pascal Context with its background as class 0: the images in a list file."""

    METAINFO = PascalContextDataset.METAINFO
    image_endings = ('.jpg',)


@DATASETS.register_module()
class COCOStuff(ImageMaskDataset):
    """COCO-Stuff 164k with 171 classes.

    Reads the `*_labelTrainIds.png` of mmsegmentation's converter where they exist.
    Otherwise reads the label maps of the archive and maps their values while loading.
    """

    METAINFO = COCOStuffDataset.METAINFO
    image_endings = ('.jpg',)
    label_endings = {'_labelTrainIds.png': None, '.png': _FROM_COCO_IDS}

    def _find_labels(self) -> dict[str, tuple[str, dict[int, int] | None]] | None:
        """Return the label maps; those of the converter have both endings."""
        labels = super()._find_labels()
        if labels is None:
            return None
        return {k: v for k, v in labels.items() if not k.endswith('_labelTrainIds')}


@DATASETS.register_module()
class LoveDA(_ClassesFromOne):
    """LoveDA with 7 classes, in the layout of mmsegmentation."""

    METAINFO = LoveDADataset.METAINFO
    image_endings = ('.png',)


@DATASETS.register_module()
class CHASEDB1(ImageMaskDataset):
    """CHASE_DB1 in the folders of mmsegmentation: the vessels of the first observer.

    Reads the files of the archive, with vessels as 255, and those of mmsegmentation's
    converter, with vessels as 1. As there, values from 128 on are vessels.
    """

    METAINFO = ChaseDB1Dataset.METAINFO
    image_endings = ('.jpg', '.png')
    label_endings = {'_1stHO.png': {value: value // 128 for value in range(2, 256)}}


@DATASETS.register_module()
class LongRangeStrips(ImageMaskDataset):
    """The strips of `write_long_range_strips`; `val` includes copies without cues."""

    METAINFO = dict(classes=tuple(COLORS), palette=[list(c) for c in COLORS.values()])
    image_endings = ('.png',)
