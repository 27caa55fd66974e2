"""Data sets that wrap others, and their samples."""

from collections.abc import Iterator
from typing import Any

import numpy as np

#: Transforms that read labels.
LABEL_LOADERS = ('LoadAnnotations', 'LoadSegLabels')


def unwrap(dataset: Any) -> Iterator[Any]:
    """Yield the data sets that read files: the data set itself, or those it wraps."""
    if hasattr(dataset, 'datasets'):
        for part in dataset.datasets:
            yield from unwrap(part)
    elif hasattr(dataset, 'dataset'):
        yield from unwrap(dataset.dataset)
    else:
        yield dataset


def label_indices(labels: Any) -> np.ndarray:
    """Return labels as class indices.

    Args:
        labels (Any): One or several indices, a label map, or a vector of 0 and 1 in
            floating-point numbers, as mmaction2 has with `multi_class`.
    """
    found = np.asarray(labels)
    return np.flatnonzero(found) if found.dtype.kind == 'f' else found


def find_sample(dataset: Any, index: int) -> tuple[Any, int]:
    """Return the data set that reads a sample, and the index of the sample in it.

    Args:
        dataset (BaseDataset): A data set that reads files, or a wrapper of mmengine or
            mmsegmentation such as ConcatDataset or MultiImageMixDataset.
        index (int): The index of the sample.
    """
    while hasattr(dataset, 'datasets') or hasattr(dataset, 'dataset'):
        if hasattr(dataset, 'datasets'):
            part, index = dataset._get_ori_dataset_idx(index)
            dataset = dataset.datasets[part]
        else:
            if len(dataset) != len(dataset.dataset):  # else the order is the same
                index = dataset._get_ori_dataset_idx(index)
            dataset = dataset.dataset
    return dataset, index
