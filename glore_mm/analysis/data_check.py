"""Check data sets for likely mistakes before training."""

import hashlib
import os
import re
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.dataset import BaseDataset

from glore_mm.utils.datasets import find_sample, label_indices, unwrap
from glore_mm.utils.errors import UnreadableSampleError, summarize_list

_SAMPLES = 100  # samples to read
_FILES = 20_000  # files to compare by size
_SECONDS = 3.0  # limit of each of these two checks


@dataclass
class _Statistics:
    """Statistics of some samples of a data set."""

    count: int = 0
    digests: set[bytes] = field(default_factory=set)  # of the images
    moments: list[np.ndarray] = field(default_factory=list)  # means of x and x²
    pixels: Counter[int] = field(default_factory=Counter)  # by label
    wrong_size: list[str] = field(default_factory=list)  # label maps, unlike the image
    unreadable: list[str] = field(default_factory=list)  # error messages


def check_data(
    datasets: Mapping[str, Any],
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
) -> list[str]:
    """Check up to 100 samples of each data set, for some seconds.

    Args:
        datasets (Mapping[str, BaseDataset]): Data sets by loop: 'train', 'val'.
        mean (Sequence[float], optional): Mean of each channel that the preprocessor
            subtracts.
        std (Sequence[float], optional): Standard deviation of each channel that it
            divides by.

    Returns:
        list[str]: A line for each likely mistake: files that were left out, classes
        that no label map has or that have no samples, images that are all the same or
        far from mean and std, label maps of another size than their image, files in
        both data sets.

    Raises:
        UserError: A file cannot be read, and its data set does not skip it.
    """
    found: list[str] = []
    for loop, dataset in datasets.items():
        metainfo = getattr(dataset, 'metainfo', None) or {}
        classes: Sequence[str] = metainfo.get('classes') or ()
        if len(classes) == 1:
            found.append(f'{loop}: a single class, {classes[0]}: nothing to learn')
        found += [f'{loop}: {line}' for line in _check_classes(classes)]
        for leaf in unwrap(dataset):
            found += [f'{loop}: left out {x}' for x in getattr(leaf, 'left_out', ())]
        seen = _read_samples(dataset)
        found += [f'{loop}: {line}' for line in _check_files(seen)]
        if seen.pixels:
            found += _missing_in_maps(loop, seen, classes, len(dataset))
        elif loop == 'train':
            found += _missing_in_list(loop, dataset, classes)
        if loop == 'train' and seen.moments and mean is not None and std is not None:
            found += _check_normalization(loop, seen, mean, std)
    if 'train' in datasets and 'val' in datasets:
        found += _duplicates(datasets['train'], datasets['val'])
    return found


def describe_datasets(datasets: Mapping[str, Any]) -> str:
    """Return one line with the numbers of samples and the classes of data sets."""
    counts = [f'{len(dataset)} samples in {loop}' for loop, dataset in datasets.items()]
    infos = [getattr(dataset, 'metainfo', None) or {} for dataset in datasets.values()]
    classes = next((info['classes'] for info in infos if info.get('classes')), ())
    named = f'; {len(classes)} classes: {summarize_list(classes, 20)}'
    return f'data: {", ".join(counts)}{named if classes else ""}'


def _read_samples(dataset: BaseDataset) -> _Statistics:
    """Read some samples with the loading transforms of the pipeline."""
    seen = _Statistics()
    for source, index in _spread_samples(dataset, _SAMPLES):
        results: Any = source.get_data_info(index)
        try:
            pipeline = getattr(source, 'pipeline', None)
            for transform in getattr(pipeline, 'transforms', ()):
                if type(transform).__name__.startswith('Load'):
                    results = transform(results)
        except UnreadableSampleError as error:
            seen.unreadable.append(str(error))
            source.prepare_data(index)  # raises an error unless it skips the sample
            continue
        seen.count += 1
        image, labels = results.get('img'), results.get('gt_seg_map')
        if image is not None:
            seen.digests.add(hashlib.sha256(image.tobytes()).digest())
            channels = image.shape[2] if image.ndim > 2 else 1
            values = image.reshape(-1, channels).astype(float)
            seen.moments.append(np.stack([values.mean(0), (values**2).mean(0)]))
        if labels is not None:
            values, counts = np.unique(labels, return_counts=True)
            seen.pixels.update(dict(zip(values.tolist(), counts.tolist(), strict=True)))
            if image is not None and labels.shape != image.shape[:2]:
                seen.wrong_size.append(str(results.get('seg_map_path')))
    return seen


def _spread_samples(
    dataset: BaseDataset, limit: int
) -> Iterator[tuple[BaseDataset, int]]:
    """Yield up to `limit` evenly spread samples, until `_SECONDS` have passed."""
    end = time.monotonic() + _SECONDS
    count = min(limit, len(dataset))
    for index in np.linspace(0, len(dataset) - 1, count).round().astype(int).tolist():
        if time.monotonic() > end:
            return
        yield find_sample(dataset, index)


def _check_classes(classes: Sequence[str]) -> Iterator[str]:
    forms = {name: name.strip().casefold() for name in map(str, classes)}
    counts = Counter(forms.values())
    equal = [repr(name) for name, form in forms.items() if counts[form] > 1]
    if equal:
        yield f'classes that differ only in spaces or capitals: {summarize_list(equal)}'
    parts = {name: {*re.split('[|,;]', name)} for name in forms}
    joined = [name for name, own in parts.items() if {name} != own <= parts.keys()]
    if joined:
        yield (
            f'classes that are several others: {summarize_list(joined)}. Are these '
            'samples with more than one label?'
        )


def _check_files(seen: _Statistics) -> Iterator[str]:
    if seen.unreadable:
        yield f'{len(seen.unreadable)} file(s) cannot be read: {seen.unreadable[0]}'
    if seen.count > 1 and len(seen.digests) == 1:
        yield f'the {seen.count} images that were read are all the same'
    if seen.wrong_size:
        yield (
            f'{len(seen.wrong_size)} label map(s) have another size than their image, '
            f'the first: {seen.wrong_size[0]}'
        )


def _missing_in_maps(
    loop: str, seen: _Statistics, classes: Sequence[str], samples: int
) -> Iterator[str]:
    missing = [name for i, name in enumerate(classes) if not seen.pixels[i]]
    if not missing:
        return
    ignored = seen.pixels[255] / seen.pixels.total()
    found = (
        f'{loop}: none of the {seen.count} label maps that were read, of {samples}, '
        f'has {summarize_list(missing)}'
    )
    if ignored:
        found += (
            f'; {ignored:.0%} of their pixels are 255, which is ignored: if 255 is a '
            'class, tools/masks_to_indices.py converts them'
        )
    yield found


def _missing_in_list(
    loop: str, dataset: BaseDataset, classes: Sequence[str]
) -> Iterator[str]:
    found: set[int] = set()
    samples = list(_spread_samples(dataset, len(dataset)))
    for source, index in samples:
        sample = source.get_data_info(index)
        label = sample.get('gt_label', sample.get('label'))
        if label is not None:
            found.update(label_indices(label).ravel().tolist())
    missing = [name for i, name in enumerate(classes) if i not in found]
    if found and missing:
        yield (
            f'{loop}: none of the {len(samples)} labels that were read is '
            f'{summarize_list(missing)}'
        )


def _check_normalization(
    loop: str, seen: _Statistics, mean: Sequence[float], std: Sequence[float]
) -> Iterator[str]:
    first, second = np.mean(seen.moments, axis=0)
    deviation = np.sqrt(np.maximum(second - first**2, 0))
    if len(first) not in (len(mean), 1):
        return
    shift = np.abs((first - mean) / std).max()
    scale = deviation / np.asarray(std)
    if shift > 3 or scale.max() < 0.05 or scale.min() > 5:
        yield (
            f'{loop}: the images have mean {_format(first)} and std '
            f'{_format(deviation)}; data_preprocessor expects mean {_format(mean)} '
            f'and std {_format(std)}'
        )


def _format(values: Any) -> str:
    return ', '.join(f'{value:.4g}' for value in np.ravel(values))


def _duplicates(train: BaseDataset, val: BaseDataset) -> Iterator[str]:
    """Find files of val that are also in train, by their content."""
    sizes: set[int] = set()
    digests: dict[bytes, str] = {}  # path of val by content
    for path in _files(val, _SAMPLES):  # the time limit includes the reading
        sizes.add(os.path.getsize(path))
        digests.setdefault(_digest(path), path)
    pairs = []
    for path in _files(train, _FILES):
        duplicate = None
        if os.path.getsize(path) in sizes:
            duplicate = digests.pop(_digest(path), None)
        if duplicate:
            pairs.append((duplicate, path))
    if pairs:
        path, other = pairs[0]
        yield (
            f'{len(pairs)} file(s) of val are also in train, the first: {path} is '
            f'{other}'
        )


def _files(dataset: BaseDataset, limit: int) -> Iterator[str]:
    for source, index in _spread_samples(dataset, limit):
        sample = source.get_data_info(index)
        path = sample.get('img_path') or sample.get('filename')
        if isinstance(path, str) and os.path.isfile(path):
            yield path


def _digest(path: str) -> bytes:
    return hashlib.sha256(Path(path).read_bytes()).digest()
