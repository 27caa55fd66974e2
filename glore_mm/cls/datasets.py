"""Image classification data sets that are checked before training."""

from collections.abc import Sequence
from os import path as osp
from typing import Any

from mmpretrain.datasets import CustomDataset, ImageNet
from mmpretrain.registry import DATASETS

from glore_mm.engine.corrupt_samples import SkipCorruptMixin
from glore_mm.utils.annotations import parse_annotations, read_class_names, resolve_path
from glore_mm.utils.class_folders import (
    class_folders,
    draw_split,
    find_samples,
    label_folders,
)
from glore_mm.utils.errors import UserError
from glore_mm.utils.images import IMAGE_SUFFIXES
from glore_mm.utils.paths import describe_parent, list_files


class CheckedImageDataset(SkipCorruptMixin, CustomDataset):
    """Images in class folders, or in a text file with a line `path label` for each.

    Images that cannot be read are handled as in SkipCorruptMixin. A class folder
    without images is an error in a test. In training it is left out with a warning.

    Args:
        outside_root (bool): Whether the list may contain files outside `data_root`,
            with absolute paths or `..`. Default: False.
        args, kwargs: As for mmpretrain's CustomDataset.

    Raises:
        UserError: The folder or the list is missing or empty, or does not match the
            classes.
    """

    what = 'images'
    path_key = 'img_path'

    def __init__(self, *args: Any, outside_root: bool = False, **kwargs: Any) -> None:
        self.outside_root = outside_root
        super().__init__(*args, **kwargs)

    @property
    def source(self) -> str:
        """Path of the list, or of the folder where there is no list."""
        return self.ann_file or self.img_prefix

    def load_data_list(self) -> list[dict[str, Any]]:
        """Return the images, sorted by name or in the order of the list."""
        if self.ann_file:
            return self._samples_of_list()
        if not osp.isdir(self.img_prefix):
            raise UserError(
                f'no folder at {self.img_prefix}; expected one with a folder of images '
                'for each class. Put it there, or correct data_root or split in the '
                f'config. {describe_parent(self.img_prefix)}'
            )
        return super().load_data_list()

    def label_of(self, folder: str) -> dict[str, int]:
        """Return the label of each class folder in the folder of this split.

        Raises:
            UserError: The folders do not match the classes.
        """
        raise NotImplementedError

    def _samples_of_list(self) -> list[dict[str, Any]]:
        numbers = ('label',) if self.with_label else ()
        samples: list[dict[str, Any]] = []
        for where, path, sample in parse_annotations(
            self.ann_file, 'list of images', numbers, len(self.CLASSES)
        ):
            path = resolve_path(
                path, where, self.img_prefix, self.data_root, self.outside_root
            )
            samples.append(dict(img_path=path))
            if self.with_label:
                samples[-1]['gt_label'] = sample['label']
        return samples

    def _find_samples(self) -> list[tuple[str, int]] | list[str]:
        folder = self.img_prefix
        images = f'images ({", ".join(sorted(self.extensions))})'
        if not self.with_label:
            # links to missing files are included: reading them raises an error
            paths = sorted(filter(self.is_valid_file, list_files(folder)))
            if not paths:
                raise UserError(f'there are no {images} in {folder}')
            return [osp.relpath(path, folder) for path in paths]
        labels = self.label_of(folder)
        return [
            (osp.relpath(path, folder), label)
            for path, label in find_samples(
                folder,
                labels,
                self.is_valid_file,
                images,
                self.report_empty,
                self.report_left_out,
            )
        ]


@DATASETS.register_module()
class ClassFolders(CheckedImageDataset):
    """Images in one folder per class: `<data_root>/<split>/<class>/*`.

    Args:
        data_root (str): The folder that contains the splits, or with `val_share` the
            class folders.
        split (str): The folder of this split.
        classes (str | Sequence[str], optional): Names of the class folders in the order
            of their labels, or a text file with one name per line, relative to
            `data_root`. Default: the folders of `train_split`, sorted.
        train_split (str): The split whose folders define the classes. Default: 'train'.
        val_share (float, optional): Share of the images of each class to draw for
            validation, where the class folders are not split. Default: they are split
            by folder.
        split_seed (int): Seed of this draw. Default: 0.
        kwargs: As for mmpretrain's CustomDataset.
    """

    def __init__(
        self,
        data_root: str,
        split: str,
        classes: str | Sequence[str] | None = None,
        train_split: str = 'train',
        val_share: float | None = None,
        split_seed: int = 0,
        **kwargs: Any,
    ) -> None:
        self._split, self._share, self._seed = split, val_share, split_seed
        if val_share:
            split = train_split = ''
        self._classes_source = 'classes of the config'
        if classes is None:
            self._classes_source = osp.join(data_root, train_split)
            if osp.isdir(self._classes_source):
                classes = class_folders(self._classes_source)
        else:
            classes = read_class_names(classes, data_root)
        kwargs = {'extensions': IMAGE_SUFFIXES, **kwargs}
        super().__init__(
            data_root=data_root, data_prefix=split, classes=classes, **kwargs
        )

    def load_data_list(self) -> list[dict[str, Any]]:
        """Return the images, sorted by name or in the order of the list."""
        if not self.CLASSES:
            raise UserError(
                f'no class folders in {self._classes_source}, which defines the '
                'classes. Put them there, or give the data sets `classes` in the '
                'config. If the images are not split into train and val, give '
                'val_share=0.2.'
            )
        samples = super().load_data_list()
        if not self._share:
            return samples
        folder = self.img_prefix
        labels = [sample.get('gt_label') for sample in samples]
        return draw_split(samples, self._split, self._share, self._seed, folder, labels)

    def label_of(self, folder: str) -> dict[str, int]:
        """Return the label of each class folder in the folder of this split."""
        return label_folders(folder, self.CLASSES, self._classes_source)


@DATASETS.register_module()
class ImageNetFolders(CheckedImageDataset, ImageNet):
    """ImageNet-1k as mmpretrain reads it: 1000 folders per split, or a list.

    Takes the arguments of mmpretrain's ImageNet.
    """

    def label_of(self, folder: str) -> dict[str, int]:
        """Return the label of each class folder: its index among the sorted names."""
        folders, expected = class_folders(folder), len(self.CLASSES)
        if len(folders) != expected:
            raise UserError(
                f'{folder} has {len(folders)} class folders, expected '
                f'{expected}. docs/imagenet.md shows how to extract the archives. '
                'Images without class folders need a list, meta/val.txt. For other '
                'classes use configs/cls/*_custom.py.'
            )
        return {name: label for label, name in enumerate(folders)}
