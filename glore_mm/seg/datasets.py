"""Segmentation data sets, read as people download them and checked before training."""

import os.path as osp
from typing import Any

import mmcv
from mmengine import fileio
from mmseg.datasets import BaseSegDataset, CityscapesDataset, PascalVOCDataset
from mmseg.registry import DATASETS

from glore_mm.synthetic.long_range_strips import COLORS
from glore_mm.utils.annotations import read_lines
from glore_mm.utils.cityscapes_labels import TRAIN_ID_OF_LABEL_ID
from glore_mm.utils.errors import UserError, shorten
from glore_mm.utils.images import unreadable_image

_DOCS = 'docs/data.md shows the layout.'
_FROM_LABEL_IDS = dict(enumerate(TRAIN_ID_OF_LABEL_ID.tolist()))


class ImageMaskDataset(BaseSegDataset):
    """Images and label maps that find each other by name, each with its partner.

    A file's key is its path in its folder less its ending; the image and the label map
    of one sample have the same.

    Attributes:
        image_endings (tuple[str, ...]): What images end with.
        label_endings (dict[str, dict | None]): What label maps end with, the preferred
            ending first, and how their values map onto the classes (None: as they are).
    """

    image_endings: tuple[str, ...] = ('.png', '.jpg', '.jpeg')
    label_endings: dict[str, dict[int, int] | None] = {'.png': None}

    def load_data_list(self) -> list[dict[str, Any]]:
        """The samples in the order of their keys, or of `ann_file` where there is one.

        Raises:
            UserError: A folder is missing or empty, or a file has no partner.
        """
        image_dir, label_dir = (
            self.data_prefix[k] for k in ('img_path', 'seg_map_path')
        )
        images = self._by_key(image_dir, self.image_endings)
        labels: dict[str, tuple[str, dict[int, int] | None]] = {}
        for ending, label_map in self.label_endings.items():
            for key, path in self._by_key(label_dir, (ending,)).items():
                labels.setdefault(key, (path, label_map))

        lines = list(enumerate(sorted(images)))
        if self.ann_file:
            lines = read_lines(self.ann_file, 'list of images')
        if not lines:
            raise UserError(
                f'the split is empty: no images in {self.ann_file or image_dir} '
                f'(files ending in {", ".join(self.image_endings)}). {_DOCS}'
            )
        # only what was found in the folder is read, wherever a line leads
        if missing := [line for line in lines if line[1] not in images]:
            number, key = missing[0]
            raise UserError(
                f'{len(missing)} image(s) of {self.ann_file} are not in {image_dir}, '
                f'the first in line {number}: {shorten(key)}. Add the image or remove '
                'its line.'
            )
        keys = [key for _, key in lines]
        if missing := [key for key in keys if key not in labels]:
            expected = osp.join(label_dir, missing[0] + next(iter(self.label_endings)))
            raise UserError(
                f'{len(missing)} image(s) have no label map, the first: '
                f'{images[missing[0]]} (expected {expected}). '
                'Add the label map or take the image out.'
            )
        spare = sorted(set(labels) - set(images))
        if spare and not self.ann_file:
            raise UserError(
                f'{len(spare)} label map(s) have no image, the first: '
                f'{labels[spare[0]][0]} (expected {osp.join(image_dir, spare[0])}'
                f'{self.image_endings[0]}). Add the image or take the label map out.'
            )
        return [self._sample(images[key], *labels[key]) for key in keys]

    def prepare_data(self, idx: int) -> dict[str, Any]:
        """Run the pipeline on a sample.

        Raises:
            UserError: The image cannot be read.
        """
        try:
            return super().prepare_data(idx)
        except UserError:
            raise
        except Exception:  # each format has its own, and so has what follows
            _check_image(self.get_data_info(idx)['img_path'])
            raise

    def _by_key(self, folder: str, endings: tuple[str, ...]) -> dict[str, str]:
        if not osp.isdir(folder):
            raise UserError(
                f'no data set at {folder}. Put it there, or say where it is: '
                f'--cfg-options data_root=/path/to/it. {_DOCS}'
            )
        names = fileio.list_dir_or_file(
            folder, list_dir=False, suffix=endings, recursive=True
        )
        return {
            next(name.removesuffix(e) for e in endings if name.endswith(e)): osp.join(
                folder, name
            )
            for name in names
        }

    def _sample(
        self, image: str, labels: str, label_map: dict[int, int] | None
    ) -> dict[str, Any]:
        if self.label_map is not None:  # the config asks for some of the classes only
            label_map = label_map or {c: c for c in range(256)}
            label_map = {k: self.label_map.get(v, v) for k, v in label_map.items()}
        return dict(
            img_path=image,
            seg_map_path=labels,
            label_map=label_map,
            num_classes=len(self.metainfo['classes']),
            reduce_zero_label=self.reduce_zero_label,
            seg_fields=[],
        )


def _check_image(path: str) -> None:
    try:
        mmcv.imread(path, backend='pillow')
    except Exception as error:
        problem = unreadable_image(path, error)
        raise UserError(problem.or_out_of('the data set')) from error


@DATASETS.register_module()
class CityscapesFolders(ImageMaskDataset):
    """Cityscapes as its archives unzip, images as PNG or JPEG.

    `*_labelTrainIds.png` are read where they exist; where they do not, `*_labelIds.png`
    are mapped to them while loading.
    """

    METAINFO = CityscapesDataset.METAINFO
    image_endings = tuple(f'_leftImg8bit{e}' for e in ImageMaskDataset.image_endings)
    label_endings = {
        '_gtFine_labelTrainIds.png': None,
        '_gtFine_labelIds.png': _FROM_LABEL_IDS,
    }


@DATASETS.register_module()
class PascalVOC(ImageMaskDataset):
    """Pascal VOC 2012, the images of a list file."""

    METAINFO = PascalVOCDataset.METAINFO
    image_endings = ('.jpg',)


@DATASETS.register_module()
class CamVid(ImageMaskDataset):
    """CamVid with the 11 classes of SegNet, in either of two layouts.

    That of the SegNet tutorial: folders `train` and `trainannot` (`val`, `test`), with
    labels from 0 in the order of the classes, 11 unlabelled. Or that of Cityscapes with
    its label values; there the split 'test' is read from `val` where no `test` exists.

    Args:
        data_root (str): The folder that holds either.
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
            from_train_ids = {i: classes.get(i, 255) for i in range(256)}
            self.image_endings = CityscapesFolders.image_endings
            self.label_endings = {
                ending: {
                    value: from_train_ids[train_id]
                    for value, train_id in (
                        label_map or {i: i for i in range(256)}
                    ).items()
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


@DATASETS.register_module()
class LongRangeStrips(ImageMaskDataset):
    """The strips of `write_long_range_strips`; `val` has copies without cues, too."""

    METAINFO = dict(classes=tuple(COLORS), palette=[list(c) for c in COLORS.values()])
    image_endings = ('.png',)
