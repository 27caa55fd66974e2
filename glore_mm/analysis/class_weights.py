"""Class weights from the frequencies of the labels."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from mmengine.dataset import BaseDataset


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
    for counts, is_map in _label_counts(dataset, num_classes):
        pixels += counts
        totals[(counts > 0) | (not is_map)] += counts.sum()
    present = pixels > 0
    frequencies = pixels[present] / totals[present]
    weights = np.ones(num_classes)
    weights[present] = np.median(frequencies) / frequencies
    return [float(f'{weight:.4g}') for weight in weights]


def _label_counts(
    dataset: BaseDataset, num_classes: int
) -> Iterator[tuple[np.ndarray, bool]]:
    """Yield the counts of each class in a sample, and whether it has a label map."""
    loaders = [
        transform
        for transform in getattr(getattr(dataset, 'pipeline', None), 'transforms', ())
        if type(transform).__name__ in ('LoadSegLabels', 'LoadAnnotations')
    ]
    for index in range(len(dataset)):
        results: Any = dataset.get_data_info(index)
        for transform in loaders:
            results = transform(results)
        labels = results.get('gt_seg_map')
        is_map = labels is not None
        if not is_map:
            labels = results.get('gt_label', results.get('label'))
        counts = np.bincount(np.ravel(labels), minlength=num_classes)
        yield counts[:num_classes], is_map
