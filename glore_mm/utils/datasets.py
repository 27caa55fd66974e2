"""Samples of data sets that wrap others."""

from typing import Any


def find_sample(dataset: Any, index: int) -> tuple[Any, int]:
    """Return the data set that reads a sample, and the index of the sample in it.

    Args:
        dataset (BaseDataset): A data set that reads files, or a wrapper of mmengine or
            mmsegmentation such as ConcatDataset or MultiImageMixDataset.
        index (int): The index of the sample.
    """
    while hasattr(dataset, 'datasets') or hasattr(dataset, 'dataset'):
        inner: Any = index
        if hasattr(dataset, '_get_ori_dataset_idx'):  # else the wrapper keeps the order
            inner = dataset._get_ori_dataset_idx(index)
        if hasattr(dataset, 'datasets'):
            dataset, index = dataset.datasets[inner[0]], inner[1]
        else:
            dataset, index = dataset.dataset, inner
    return dataset, index
