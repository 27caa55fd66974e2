"""Published image classification data sets in their own layouts."""

import json
import os.path as osp
import pickle
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
from mmengine import fileio
from mmpretrain.datasets import CIFAR100, CUB
from mmpretrain.datasets.base_dataset import BaseDataset
from mmpretrain.registry import DATASETS

from glore_mm.cls.datasets import CheckedImageDataset
from glore_mm.engine.corrupt_samples import SkipCorruptMixin
from glore_mm.utils.annotations import read_class_names, read_lines, resolve_path
from glore_mm.utils.errors import UserError, error_summary, shorten, summarize_list
from glore_mm.utils.paths import describe_parent

_SIDE = 32  # of an image of CIFAR-100, in pixels
_SPLITS = 'train', 'test'


class _ArrayUnpickler(pickle.Unpickler):
    """Read plain values and NumPy arrays; other classes could run code."""

    # independent of where a version of NumPy has it
    _RECONSTRUCT = np.empty(0).__reduce__()[0]
    _ALLOWED = {
        ('numpy', 'ndarray'): np.ndarray,
        ('numpy', 'dtype'): np.dtype,
        ('numpy.core.multiarray', '_reconstruct'): _RECONSTRUCT,
        ('numpy._core.multiarray', '_reconstruct'): _RECONSTRUCT,
    }

    def find_class(self, module: str, name: str) -> Any:
        """Return an allowed class."""
        if (module, name) in self._ALLOWED:
            return self._ALLOWED[module, name]
        raise pickle.UnpicklingError(f'it contains {module}.{name}')


@DATASETS.register_module()
class CIFAR100Files(SkipCorruptMixin, BaseDataset):
    """CIFAR-100 with its 100 classes, in the files of its "python version".

    Reads the archive `cifar-100-python.tar.gz`, extracted to `data_root`. An image is
    an array, uint8 (32, 32, 3), BGR as `LoadImage` returns it. For dumps and pictures
    of predictions, it has the name of its index, such as `test/00012.png`.

    Args:
        data_root (str): The folder that contains `cifar-100-python`.
        split (str): 'train' or 'test'.
        kwargs: As for mmpretrain's BaseDataset.

    Raises:
        UserError: The file of the split is missing or is not one of CIFAR-100.
    """

    METAINFO = CIFAR100.METAINFO
    what = 'images'
    path_key = 'filename'

    def __init__(self, data_root: str, split: str = 'train', **kwargs: Any) -> None:
        _check_split(self, split)
        super().__init__(
            data_root=data_root,
            ann_file=f'cifar-100-python/{split}',
            data_prefix='cifar-100-python',
            **kwargs,
        )

    def load_data_list(self) -> list[dict[str, Any]]:
        """Return the images and labels in the order of the file."""
        path = self.ann_file
        if not osp.isfile(path):
            raise UserError(
                f'no file of CIFAR-100 at {path}. Extract cifar-100-python.tar.gz '
                f'(https://www.cs.toronto.edu/~kriz/cifar.html) in {self.data_root}, '
                'or correct data_root in the config.'
            )
        advice = 'Extract cifar-100-python.tar.gz again.'
        try:
            with open(path, 'rb') as file:
                content = _ArrayUnpickler(file, encoding='latin1').load()
        except Exception as error:  # damaged files raise errors of many types
            raise UserError(
                f'{path} cannot be read as a file of CIFAR-100: '
                f'{error_summary(error)}. {advice}'
            ) from None
        content = content if isinstance(content, dict) else {}
        images, labels = content.get('data'), content.get('fine_labels')
        if (
            not isinstance(images, np.ndarray)
            or images.dtype != np.uint8
            or images.shape[1:] != (3 * _SIDE**2,)
            or not isinstance(labels, list)
            or len(labels) != len(images)
            or not all(type(each) is int and each in range(100) for each in labels)
        ):
            raise UserError(
                f'{path} has {summarize_list(map(repr, content)) or "no dict"}; '
                "expected 'data', uint8 of (images, 3072), and 'fine_labels', a list "
                f'of as many integers from 0 to 99. {advice}'
            )
        size = _SIDE, _SIDE
        bgr = images.reshape(-1, 3, *size)[:, ::-1].transpose(0, 2, 3, 1)
        return [
            dict(
                img=np.ascontiguousarray(image),
                img_shape=size,
                ori_shape=size,
                gt_label=label,
                filename=osp.join(path, f'{index:05}.png'),
            )
            for index, (image, label) in enumerate(zip(bgr, labels, strict=True))
        ]


@DATASETS.register_module()
class CUB200(CheckedImageDataset):
    """CUB-200-2011 with its 200 classes, in the layout of its archive.

    Args:
        data_root (str): The folder `CUB_200_2011`.
        split (str): 'train' or 'test'.
        kwargs: As for mmpretrain's CustomDataset.

    Raises:
        UserError: A file is missing, or a line is wrong.
    """

    METAINFO = CUB.METAINFO

    def __init__(self, data_root: str, split: str = 'train', **kwargs: Any) -> None:
        _check_split(self, split)
        self._in_split = '1' if split == 'train' else '0'
        super().__init__(
            data_root=data_root,
            ann_file='images.txt',
            data_prefix='images',
            **kwargs,
        )

    def _samples_of_list(self) -> list[dict[str, Any]]:
        images = self._read('images.txt')
        if not osp.isdir(self.img_prefix):
            raise UserError(_no_folder(self.img_prefix, self.ann_file))
        labels = self._read('image_class_labels.txt', images)
        splits = self._read('train_test_split.txt', images)
        samples = []
        for key, (where, name) in images.items():
            label = self._number(*labels[key], 1, len(self.CLASSES))
            chosen = self._number(*splits[key], 0, 1)
            if str(chosen) != self._in_split:
                continue
            path = resolve_path(
                name, where, self.img_prefix, self.data_root, self.outside_root
            )
            samples.append(dict(img_path=path, gt_label=label - 1))
        if not samples:
            raise UserError(
                f'{splits[key][0].partition(",")[0]} has no image with '
                f'{self._in_split}, which this split consists of'
            )
        return samples

    def _read(
        self, name: str, expected: dict[str, tuple[str, str]] | None = None
    ) -> dict[str, tuple[str, str]]:
        """Return the file and line, for messages, and the value of each image id."""
        path = osp.join(self.data_root, name)
        found: dict[str, tuple[str, str]] = {}
        for number, line in read_lines(path, 'list of CUB-200-2011'):
            where = f'{path}, line {number}'
            key, _, value = line.partition(' ')
            if not key.isdecimal() or not value.strip() or key in found:
                raise UserError(
                    f'{where}: {shorten(line)}; expected the number of an image, once '
                    'in the file, and its value'
                )
            found[key] = where, value.strip()
        if not found:
            raise UserError(f'{path} is empty; expected a line for each image')
        if expected is not None and (others := expected.keys() ^ found.keys()):
            raise UserError(
                f'{path} and {self.ann_file} have different images: only one of them '
                f'has the number(s) {summarize_list(sorted(map(int, others)))}'
            )
        return found

    @staticmethod
    def _number(where: str, value: str, low: int, high: int) -> int:
        if not value.isdecimal() or not low <= int(value) <= high:
            raise UserError(
                f'{where}: {shorten(value)}; expected an integer from {low} to {high}'
            )
        return int(value)


@DATASETS.register_module()
class INaturalist(CheckedImageDataset):
    """The iNaturalist competitions of 2017 to 2021: a JSON file in COCO's form.

    The classes are its categories in the order of their ids. A file without
    `annotations`, such as that of a test set, has images without labels.

    Args:
        data_root (str): The folder that contains the annotations and the folders of
            images.
        split (str): 'train' or 'val'.
        annotations (str): The JSON file; `{split}` in its name is the split. Default:
            '{split}2018.json'.
        categories (str, optional): A JSON file with a list of categories, such as the
            `categories.json` with the names of the species of 2018. Default: the
            categories of the annotations.
        classes (Sequence[str], optional): The names of the classes; those of the file
            must be the same. Default: those of the file of the split `train`.
        kwargs: As for mmpretrain's CustomDataset.

    Raises:
        UserError: A file cannot be read, has another form, or has other classes.
    """

    def __init__(
        self,
        data_root: str,
        split: str = 'train',
        annotations: str = '{split}2018.json',
        categories: str | None = None,
        classes: str | Sequence[str] | None = None,
        **kwargs: Any,
    ) -> None:
        self._categories = categories and osp.join(data_root, categories)
        if classes is None:
            source = osp.join(data_root, annotations.replace('{split}', 'train'))
            classes = self._class_ids(source, _read_json(source))[1]
        super().__init__(
            data_root=data_root,
            ann_file=annotations.replace('{split}', split),
            classes=read_class_names(classes, data_root),
            **kwargs,
        )

    def _class_ids(self, path: str, content: Any) -> tuple[list[int], tuple[str, ...]]:
        """Return the ids of the categories, sorted, and their names."""
        with _coco_form(path):
            names = {each['id']: each['name'] for each in content['categories']}
            ids = sorted(names)
        if self._categories:
            path, content = self._categories, _read_json(self._categories)
            with _coco_form(path, 'a list of categories, each with id and name'):
                names = {each['id']: each['name'] for each in content}
        if missing := [each for each in ids if each not in names]:
            raise UserError(
                f'{path} has no category with the id {summarize_list(missing)}'
            )
        return ids, tuple(str(names[each]) for each in ids)

    def _samples_of_list(self) -> list[dict[str, Any]]:
        path, root = self.ann_file, self.data_root
        content = _read_json(path)
        ids, names = self._class_ids(path, content)
        if names != self.CLASSES:
            raise UserError(
                f'{path} has the {len(names)} categories {summarize_list(names)}; '
                f'expected the {len(self.CLASSES)} classes '
                f'{summarize_list(self.CLASSES)}. Give the annotations of the same year'
            )
        label_of = {category: label for label, category in enumerate(ids)}
        with _coco_form(path):
            files = [(each['id'], str(each['file_name'])) for each in content['images']]
            found = content.get('annotations')
            categories = {each['image_id']: each['category_id'] for each in found or ()}
        if not files:
            raise UserError(f'{path} has no images')
        for folder in sorted({osp.join(root, osp.dirname(name)) for _, name in files}):
            if not osp.isdir(folder):
                raise UserError(_no_folder(folder, path))
        samples: list[dict[str, Any]] = []
        for key, name in files:
            where = f'{path}, image {key}'
            samples.append(
                dict(img_path=resolve_path(name, where, root, root, self.outside_root))
            )
            if found is None:
                continue
            category = categories.get(key)
            if category not in label_of:
                problem = 'has no annotation'
                if key in categories:
                    problem = f'is of the category {category}, which is not listed'
                raise UserError(f'{where}, {shorten(name)}, {problem}')
            samples[-1]['gt_label'] = label_of[category]
        return samples


def _check_split(dataset: object, split: str) -> None:
    if split not in _SPLITS:
        raise UserError(
            f'{type(dataset).__name__} has no split {split!r}; expected '
            f'{" or ".join(map(repr, _SPLITS))}'
        )


def _no_folder(folder: str, lists: str) -> str:
    return (
        f'no folder at {folder}, whose images {lists} lists. Extract the archive, or '
        f'correct data_root in the config. {describe_parent(folder)}'
    )


def _read_json(path: str) -> Any:
    """Return the content of a JSON file.

    Raises:
        UserError: There is no such file, or it is not JSON.
    """
    try:
        return json.loads(fileio.get(path))
    except OSError as error:
        raise UserError(
            f'no annotations at {path}: {error.strerror}. Put the JSON file there, or '
            'correct data_root or the name of the file in the config.'
        ) from error
    except (ValueError, RecursionError) as error:
        raise UserError(
            f'{path} is not a JSON file: {error_summary(error)}. Extract it again.'
        ) from None


@contextmanager
def _coco_form(
    path: str,
    expected: str = (
        'the lists images (id, file_name), annotations (image_id, category_id) and '
        'categories (id, name)'
    ),
) -> Iterator[None]:
    """Turn an error on data of another form into a UserError."""
    try:
        yield
    except (KeyError, TypeError, AttributeError) as error:
        raise UserError(
            f'{path} has another form ({error_summary(error)}); expected {expected}'
        ) from None
