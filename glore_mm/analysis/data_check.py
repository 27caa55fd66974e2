"""A look at data sets before training: what is likely a mistake, a line each."""

import hashlib
import os
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.dataset import BaseDataset

from glore_mm.utils.errors import UnreadableSampleError, summarize_list

_SAMPLES = 100  # that are read
_FILES = 20_000  # whose sizes are compared
_SECONDS = 3.0  # for each of both


@dataclass
class _Look:
    """What some samples of a data set hold."""

    count: int = 0
    digests: set[bytes] = field(default_factory=set)  # of the images
    sums: list[np.ndarray] = field(default_factory=list)  # of x and x², by channel
    pixels: Counter[int] = field(default_factory=Counter)  # by label
    smaller: list[str] = field(default_factory=list)  # label maps than their images
    unreadable: list[str] = field(default_factory=list)


def check_data(
    datasets: Mapping[str, Any],
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    ignore_index: int = 255,
) -> list[str]:
    """Look at some hundred samples, for some seconds.

    Args:
        datasets (Mapping[str, BaseDataset]): By loop: 'train', 'val'.
        mean (Sequence[float], optional): What the preprocessor subtracts, by channel.
        std (Sequence[float], optional): What it divides by then.
        ignore_index (int): The label that is not scored. Default: 255.

    Returns:
        list[str]: What may be wrong, a line each: classes in no label map or without
        samples, images that are all the same or far from mean and std, label maps
        smaller than their image, files in both data sets.
    """
    found: list[str] = []
    for loop, dataset in datasets.items():
        metainfo = getattr(dataset, 'metainfo', None) or {}
        classes: Sequence[str] = metainfo.get('classes') or ()
        if len(classes) == 1:
            found.append(f'{loop}: a single class, {classes[0]}: nothing to learn')
        look = _look_at(dataset)
        found += [f'{loop}: {line}' for line in _judge(look)]
        if look.pixels:
            found += _missing_in_maps(loop, look, classes, len(dataset), ignore_index)
        elif loop == 'train':
            found += _missing_in_list(loop, dataset, classes)
        if loop == 'train' and look.sums and mean is not None and std is not None:
            found += _far_from(loop, look, mean, std)
    if 'train' in datasets and 'val' in datasets:
        found += _duplicates(datasets['train'], datasets['val'])
    return found


def _look_at(dataset: BaseDataset) -> _Look:
    """Read some samples by those transforms of the pipeline that load something."""
    look = _Look()
    loaders = [
        transform
        for transform in getattr(getattr(dataset, 'pipeline', None), 'transforms', ())
        if type(transform).__name__.startswith('Load')
    ]
    for index in _some(dataset, _SAMPLES) if loaders else ():
        results: Any = dataset.get_data_info(index)
        try:
            for transform in loaders:
                results = transform(results)
        except UnreadableSampleError as error:
            look.unreadable.append(str(error))
            continue
        look.count += 1
        image, labels = results.get('img'), results.get('gt_seg_map')
        if image is not None:
            look.digests.add(hashlib.sha256(image.tobytes()).digest())
            values = image.reshape(-1, image.shape[-1]).astype(float)
            look.sums.append(np.stack([values.mean(0), (values**2).mean(0)]))
        if labels is not None:
            values, counts = np.unique(labels, return_counts=True)
            look.pixels.update(dict(zip(values.tolist(), counts.tolist(), strict=True)))
            if image is not None and labels.shape != image.shape[:2]:
                look.smaller.append(str(results.get('seg_map_path')))
    return look


def _some(dataset: BaseDataset, most: int) -> Iterator[int]:
    """Indices of so many samples, spread evenly, until the time is up."""
    end = time.monotonic() + _SECONDS
    count = min(most, len(dataset))
    for index in np.linspace(0, len(dataset) - 1, count).round().astype(int).tolist():
        if time.monotonic() > end:
            return
        yield index


def _judge(look: _Look) -> Iterator[str]:
    if look.unreadable:
        yield f'{len(look.unreadable)} file(s) cannot be read: {look.unreadable[0]}'
    if look.count > 1 and len(look.digests) == 1:
        yield f'the {look.count} images looked at are all the same'
    if look.smaller:
        yield (
            f'{len(look.smaller)} label map(s) have another size than their image, the '
            f'first: {look.smaller[0]}'
        )


def _missing_in_maps(
    loop: str, look: _Look, classes: Sequence[str], samples: int, ignore_index: int
) -> Iterator[str]:
    missing = [name for i, name in enumerate(classes) if not look.pixels[i]]
    if not missing:
        return
    ignored = look.pixels[ignore_index] / look.pixels.total()
    yield (
        f'{loop}: none of the {look.count} label maps looked at, of {samples}, has '
        f'{summarize_list(missing)}'
        + (
            f'; {ignored:.0%} of their pixels are {ignore_index}, which is ignored: '
            'where it stands for a class, tools/masks_to_indices.py converts them'
        )
        * bool(ignored)
    )


def _missing_in_list(
    loop: str, dataset: BaseDataset, classes: Sequence[str]
) -> Iterator[str]:
    found: set[int] = set()
    indices = list(_some(dataset, len(dataset)))
    for index in indices:
        sample = dataset.get_data_info(index)
        label = sample.get('gt_label', sample.get('label'))
        found.update(np.atleast_1d(label).tolist() if label is not None else ())
    missing = [name for i, name in enumerate(classes) if i not in found]
    if found and missing:
        yield (
            f'{loop}: none of the {len(indices)} samples looked at is of '
            f'{summarize_list(missing)}'
        )


def _far_from(
    loop: str, look: _Look, mean: Sequence[float], std: Sequence[float]
) -> Iterator[str]:
    first, second = np.mean(look.sums, axis=0)
    deviation = np.sqrt(np.maximum(second - first**2, 0))
    if len(first) not in (len(mean), 1):
        return
    shift = np.abs((first - mean) / std).max()
    scale = deviation / np.asarray(std)
    if shift > 3 or scale.max() < 0.05 or scale.min() > 5:
        yield (
            f'{loop}: the images have mean {_numbers(first)} and std '
            f'{_numbers(deviation)}; data_preprocessor expects mean {_numbers(mean)} '
            f'and std {_numbers(std)}'
        )


def _numbers(values: Any) -> str:
    return ', '.join(f'{value:.4g}' for value in np.ravel(values))


def _duplicates(train: BaseDataset, val: BaseDataset) -> Iterator[str]:
    """Files that both data sets have, by content."""
    sizes: set[int] = set()
    digests: dict[bytes, str] = {}  # path of val by content
    for path in _files(val, _SAMPLES):  # the time of both loops is that of reading, too
        sizes.add(os.path.getsize(path))
        digests.setdefault(_digest(path), path)
    pairs = []
    for path in _files(train, _FILES):
        twin = None
        if os.path.getsize(path) in sizes:
            twin = digests.pop(_digest(path), None)
        if twin:
            pairs.append((twin, path))
    if pairs:
        path, other = pairs[0]
        yield (
            f'{len(pairs)} file(s) of val are also in train, the first: {path} is '
            f'{other}'
        )


def _files(dataset: BaseDataset, most: int) -> Iterator[str]:
    for index in _some(dataset, most):
        sample = dataset.get_data_info(index)
        path = sample.get('img_path') or sample.get('filename')
        if isinstance(path, str) and os.path.isfile(path):
            yield path


def _digest(path: str) -> bytes:
    return hashlib.sha256(Path(path).read_bytes()).digest()
