"""Folders of photographs, checked before training."""

from collections.abc import Iterable, Sequence
from os import path as osp
from typing import Any

from mmengine.logging import MMLogger
from mmpretrain.datasets import CustomDataset, ImageNet
from mmpretrain.datasets.custom import find_folders
from mmpretrain.registry import DATASETS

from glore_mm.engine.corrupt_samples import SkipCorruptMixin
from glore_mm.utils.annotations import parse_annotations, read_class_names, resolve_path
from glore_mm.utils.errors import UserError, summarize_list
from glore_mm.utils.images import IMAGE_SUFFIXES
from glore_mm.utils.paths import is_data, list_files


class CheckedImageDataset(SkipCorruptMixin, CustomDataset):
    """Images in class folders, or listed in a text file, `path label` a line.

    Those that cannot be used are handled as in SkipCorruptMixin. A class folder without
    images is an error in a test; in training it is said and left out.

    Args:
        outside_root (bool): Whether the list may name files outside `data_root`, by
            absolute paths or `..`. Default: False.
        args, kwargs: As for mmpretrain's CustomDataset.

    Raises:
        UserError: The folder or the list is missing or empty or does not fit the
            classes.
    """

    what = 'images'
    path_key = 'img_path'

    def __init__(self, *args: Any, outside_root: bool = False, **kwargs: Any) -> None:
        self.outside_root = outside_root
        super().__init__(*args, **kwargs)

    @property
    def source(self) -> str:
        """Where the samples are named: a list or a folder."""
        return self.ann_file or self.img_prefix

    def load_data_list(self) -> list[dict[str, Any]]:
        """The photographs, in the order of their names or of the list."""
        if self.ann_file:
            return self._listed()
        if not osp.isdir(self.img_prefix):
            raise UserError(
                f'no folder at {self.img_prefix}; expected one with a folder of images '
                'for each class. Put it there, or correct data_root or split in the '
                'config.'
            )
        return super().load_data_list()

    def label_of(self, folders: list[str]) -> dict[str, int]:
        """The label of each class folder of this split; they come sorted.

        Raises:
            UserError: The folders are not those of the classes.
        """
        raise NotImplementedError

    def _listed(self) -> list[dict[str, Any]]:
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
            if paths := self._images_in(folder):
                return paths
            raise UserError(f'there are no {images} in {folder}')
        labels = self.label_of(_class_folders(folder))
        found = {name: self._images_in(osp.join(folder, name)) for name in labels}
        empty = [name for name, paths in found.items() if not paths]
        if len(empty) == len(labels):
            raise UserError(f'there are no {images} in the class folders of {folder}')
        if empty:
            problem = f'{folder}: no {images} in {_quoted(empty)}'
            if self.test_mode:
                raise UserError(f'{problem}. Fill or remove what is empty.')
            logger = MMLogger.get_current_instance()
            logger.warning(f'left out of training: {problem}')
        return [(path, labels[name]) for name in labels for path in found[name]]

    def _images_in(self, folder: str) -> list[str]:
        """Files with an ending of images, relative to `img_prefix`.

        Links to missing files are among them: reading these is an error.
        """
        paths = sorted(filter(self.is_valid_file, list_files(folder)))
        return [osp.relpath(path, self.img_prefix) for path in paths]


@DATASETS.register_module()
class ClassFolders(CheckedImageDataset):
    """Any photographs: `<data_root>/<split>/<class>/*`, the folders being the classes.

    Args:
        data_root (str): The folder of the splits.
        split (str): The folder of this one.
        classes (str | Sequence[str], optional): The names of the class folders, in the
            order of their labels, or a text file with one a line, relative to
            `data_root`. Default: the folders of `train_split`, sorted.
        train_split (str): The split whose folders are the classes. Default: 'train'.
        kwargs: As for mmpretrain's CustomDataset.
    """

    def __init__(
        self,
        data_root: str,
        split: str,
        classes: str | Sequence[str] | None = None,
        train_split: str = 'train',
        **kwargs: Any,
    ) -> None:
        self._named = 'classes of the config'
        if classes is None:
            self._named = osp.join(data_root, train_split)
            if osp.isdir(self._named):
                classes = _class_folders(self._named)
        else:
            classes = read_class_names(classes, data_root)
        kwargs = {'extensions': IMAGE_SUFFIXES, **kwargs}
        super().__init__(
            data_root=data_root, data_prefix=split, classes=classes, **kwargs
        )

    def load_data_list(self) -> list[dict[str, Any]]:
        """The photographs, in the order of their names or of the list."""
        if not self.CLASSES:
            raise UserError(
                f'no class folders in {self._named}, which says what the classes are. '
                'Put them there, or give the data sets `classes` in the config.'
            )
        return super().load_data_list()

    def label_of(self, folders: list[str]) -> dict[str, int]:
        """The label of each class folder of this split."""
        unknown = set(folders) - set(self.CLASSES)
        if unknown:
            raise UserError(
                f'{self.img_prefix} has {_quoted(unknown)}, which {self._named} lacks '
                f'(it has {_quoted(self.CLASSES)}). Remove what is unknown, or add it '
                'there and train anew.'
            )
        return {name: self.CLASSES.index(name) for name in folders}


@DATASETS.register_module()
class ImageNetFolders(CheckedImageDataset, ImageNet):
    """ImageNet-1k as mmpretrain reads it: 1000 folders a split, or a list.

    The arguments are those of mmpretrain's ImageNet.
    """

    def label_of(self, folders: list[str]) -> dict[str, int]:
        """The label of each class folder: its place among their sorted names."""
        expected = len(self.CLASSES)
        if len(folders) != expected:
            raise UserError(
                f'{self.img_prefix} has {len(folders)} class folders, expected '
                f'{expected}: docs/imagenet.md leads from the archives to them. Images '
                'that lie there without folders need a list, meta/val.txt. For other '
                'classes take configs/cls/*_custom.py.'
            )
        return {name: label for label, name in enumerate(folders)}


def _class_folders(root: str) -> list[str]:
    """The names of the folders in a folder that hold data, sorted."""
    return sorted(filter(is_data, find_folders(root)[0]))


def _quoted(names: Iterable[str]) -> str:
    return summarize_list(map(repr, sorted(names)))
