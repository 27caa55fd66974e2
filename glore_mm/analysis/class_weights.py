"""Class weights from the frequencies of the labels."""

from typing import Any

import numpy as np
from mmengine.dataset import BaseDataset

from glore_mm.utils.datasets import LABEL_LOADERS, find_sample, label_indices


def median_frequency_weights(dataset: BaseDataset, num_classes: int) -> list[float]:
    """Return a weight for each class: the median frequency by the class's frequency.

    The frequency of a class is its share of the pixels of the images that contain it
    (Eigen and Fergus, ICCV 2015, section 6.3.2). Where a sample has a label
    instead of a label map, it counts as one pixel of an image with all classes.

    Args:
        dataset (BaseDataset): The data set; all its labels are read.
        num_classes (int): Number of classes.

    Returns:
        list[float]: Weights, 1 for classes without a sample.
    """
    pixels, totals = np.zeros((2, num_classes))
    for index in range(len(dataset)):
        labels = read_labels(dataset, index)
        assert labels is not None, 'only a test works without labels'
        counts = np.bincount(np.ravel(labels), minlength=num_classes)[:num_classes]
        pixels += counts
        totals[(counts > 0) | (np.ndim(labels) < 2)] += counts.sum()
    present = pixels > 0
    frequencies = pixels[present] / totals[present]
    weights = np.ones(num_classes)
    weights[present] = np.median(frequencies) / frequencies
    return [float(f'{weight:.4g}') for weight in weights]


def read_labels(dataset: Any, index: int) -> np.ndarray | None:
    """Read the labels of a sample, without its image.

    Args:
        dataset (BaseDataset): A data set that reads files, or a wrapper of such ones.
        index (int): The index of the sample.

    Returns:
        np.ndarray | None: Integers: the label map (H, W), or the label or labels; None
        if the data set has none.
    """
    dataset, index = find_sample(dataset, index)
    results: Any = dataset.get_data_info(index)
    for transform in dataset.pipeline.transforms:
        if type(transform).__name__ in LABEL_LOADERS:
            results = transform(results)
    found = (results.get(key) for key in ('gt_seg_map', 'gt_label', 'label'))
    labels = next((value for value in found if value is not None), None)
    return None if labels is None else label_indices(labels).astype(int)
