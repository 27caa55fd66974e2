"""Segmentation data sets of images and label maps, checked before training."""

import os.path as osp
from collections.abc import Mapping
from typing import Any

from mmseg.datasets import BaseSegDataset

from glore_mm.engine.transforms import find_loader
from glore_mm.utils.annotations import read_lines
from glore_mm.utils.errors import (
    UnreadableSampleError,
    UserError,
    shorten,
    summarize_list,
)
from glore_mm.utils.paths import describe_parent, list_files


class ImageMaskDataset(BaseSegDataset):
    """Images and label maps, matched by file name.

    A file's key is its path relative to its folder, without its ending. The image and
    the label map of a sample have the same key. Endings match in upper and lower case.
    Without `seg_map_path` in `data_prefix` there are no labels, as in the test split of
    many benchmarks.

    Attributes:
        image_endings (tuple[str, ...]): Endings of image file names.
        label_endings (dict[str, dict | None]): Endings of label map file names, the
            preferred one first, each with the mapping from label values to classes
            (None: no mapping). A value that is mapped to -1 is an error.
        docs (str): The last sentence of messages about missing files.
    """

    docs = 'docs/data.md shows the layout.'
    image_endings: tuple[str, ...] = ('.png', '.jpg', '.jpeg')
    label_endings: dict[str, dict[int, int] | None] = {'.png': None}

    def load_data_list(self) -> list[dict[str, Any]]:
        """Return the samples, sorted by key or in the order of `ann_file`.

        Raises:
            UserError: A folder is missing or empty, an image has no label map, or a
                label map has no image.
        """
        if not self.metainfo.get('classes'):
            raise UserError(
                f'{type(self).__name__} has no classes; its METAINFO has '
                f'{summarize_list(self.metainfo)}. Name them: METAINFO = '
                "dict(classes=('a', 'b'), palette=[[0, 0, 0], [255, 0, 0]])"
            )
        image_dir = self.data_prefix['img_path']
        images = self._files_by_key(image_dir, self.image_endings)
        if not images:
            raise UserError(
                f'the split is empty: no images in {image_dir} (files ending in '
                f'{", ".join(self.image_endings)}). {self.docs}'
            )
        labels = self._find_labels()
        keys = sorted(images)
        if self.ann_file:
            keys = self._listed_keys(images, labels)
        if labels is None:
            return [self._sample(images[key]) for key in keys]
        if missing := [key for key in keys if key not in labels]:
            label_dir = self.data_prefix['seg_map_path']
            expected = osp.join(label_dir, missing[0] + next(iter(self.label_endings)))
            raise UserError(
                f'{len(missing)} image(s) have no label map, the first: '
                f'{images[missing[0]]} (expected {expected}). '
                'Add the label map or remove the image. For a test set without labels, '
                'set masks=None, or leave seg_map_path out of data_prefix.'
            )
        spare = sorted(set(labels) - set(images))
        if spare and not self.ann_file:
            raise UserError(
                f'{len(spare)} label map(s) have no image, the first: '
                f'{labels[spare[0]][0]} (expected {osp.join(image_dir, spare[0])}'
                f'{self.image_endings[0]}). Add the image or remove the label map.'
            )
        return [self._sample(images[key], *labels[key]) for key in keys]

    def prepare_data(self, idx: int) -> dict[str, Any]:
        """Run the pipeline on a sample.

        Raises:
            UserError: The image cannot be read.
        """
        try:
            try:
                return super().prepare_data(idx)
            except UserError:
                raise
            except Exception:  # mmcv's error does not name the file
                path = self.get_data_info(idx)['img_path']
                find_loader(self.pipeline.transforms).picture(path)
                raise
        except UnreadableSampleError as error:
            raise UserError(error.with_removal_advice('the data set')) from error

    def _find_labels(self) -> dict[str, tuple[str, dict[int, int] | None]] | None:
        """Return the path and value mapping of each label map by key.

        Returns None where the data set has no labels.
        """
        folder = self.data_prefix.get('seg_map_path')
        if not folder:
            return None
        labels: dict[str, tuple[str, dict[int, int] | None]] = {}
        for ending, label_map in self.label_endings.items():
            for key, path in self._files_by_key(folder, (ending,)).items():
                labels.setdefault(key, (path, label_map))
        return labels

    def _listed_keys(
        self,
        images: Mapping[str, str],
        labels: Mapping[str, tuple[str, Any]] | None,
    ) -> list[str]:
        """Return the keys of the images in the list.

        A line contains the path of an image, relative to the image folder or to the
        data root, with or without its ending. A second column may contain the path of
        the label map in the same way.
        """
        roots = [self.data_prefix['img_path'], self.data_root]
        of_image = _keys_by_name(images, roots, self.image_endings)
        of_label: dict[str, str] = {}
        if labels is not None:
            roots = [self.data_prefix['seg_map_path'], self.data_root]
            paths = {key: path for key, (path, _) in labels.items()}
            of_label = _keys_by_name(paths, roots, tuple(self.label_endings))
        keys: list[str] = []
        missing = []
        for number, line in read_lines(self.ann_file, 'list of images'):
            # only files found in the folder are read, whatever path a line contains
            key = of_image.get(osp.normpath(line))
            columns = line.split()
            if key is None and len(columns) == 2:
                key = of_image.get(osp.normpath(columns[0]))
                if key is not None and of_label.get(osp.normpath(columns[1])) != key:
                    raise UserError(
                        f'{self.ann_file}, line {number}: {shorten(columns[1])} is not '
                        f'the label map of {images[key]}. Give both the same name, or '
                        'leave the second column out.'
                    )
            if key is None:
                missing.append((number, line))
            else:
                keys.append(key)
        if not keys and not missing:
            raise UserError(
                f'the split is empty: no lines in {self.ann_file}. {self.docs}'
            )
        if missing:
            number, line = missing[0]
            raise UserError(
                f'{len(missing)} image(s) of {self.ann_file} are not in '
                f'{self.data_prefix["img_path"]}, the first in line {number}: '
                f'{shorten(line)}. A line names an image in that folder, such as '
                f'{next(iter(images))}, with or without its ending. Add the image or '
                'remove its line.'
            )
        return keys

    def _files_by_key(self, folder: str, endings: tuple[str, ...]) -> dict[str, str]:
        """Return the files below a folder by their key."""
        if not osp.isdir(folder):
            raise UserError(
                f'no data set at {folder}. Put it there, or give its place with '
                f'--cfg-options data_root=/path/to/it. {describe_parent(folder)} '
                f'{self.docs}'
            )
        found: dict[str, str] = {}
        for path in sorted(list_files(folder)):
            if not path.lower().endswith(tuple(map(str.lower, endings))):
                continue
            key = _without_ending(osp.relpath(path, folder), endings)
            if key in found:
                raise UserError(
                    f'{found[key]} and {path} have the same name, except for the '
                    'ending. Remove or rename one of them.'
                )
            found[key] = path
        return found

    def _sample(
        self,
        image: str,
        labels: str | None = None,
        label_map: dict[int, int] | None = None,
    ) -> dict[str, Any]:
        if self.label_map is not None:  # the config selects some of the classes
            label_map = label_map or {c: c for c in range(256)}
            label_map = {k: self.label_map.get(v, v) for k, v in label_map.items()}
        return dict(
            img_path=image,
            **({} if labels is None else dict(seg_map_path=labels)),
            label_map=label_map,
            num_classes=len(self.metainfo['classes']),
            reduce_zero_label=self.reduce_zero_label,
            seg_fields=[],
        )


def _without_ending(name: str, endings: tuple[str, ...]) -> str:
    for ending in endings:
        if name.lower().endswith(ending.lower()):
            return name[: -len(ending)]
    return name


def _keys_by_name(
    files: Mapping[str, str], roots: list[str], endings: tuple[str, ...]
) -> dict[str, str]:
    """Map each name that a list may use for a file to the file's key."""
    found = {}
    for key, path in files.items():
        for root in filter(None, roots):
            name = osp.relpath(path, root)
            found[name] = found[_without_ending(name, endings)] = key
    return found
