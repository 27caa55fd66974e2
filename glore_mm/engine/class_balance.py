"""Repeat the samples of rare classes."""

from collections import Counter
from math import sqrt

import numpy as np
from mmengine.dataset import BaseDataset, ClassBalancedDataset
from mmengine.registry import DATASETS

from glore_mm.analysis.class_weights import read_labels
from glore_mm.utils.errors import UserError


@DATASETS.register_module()
class LabelBalancedDataset(ClassBalancedDataset):
    """ClassBalancedDataset that reads the classes of a sample from its labels.

    mmengine's asks the data set for them, by `get_cat_ids`, which segmentation and
    video data sets do not have. Here all labels are read when the data set is built; in
    segmentation, these are the label maps.

    Args:
        dataset (dict): Config of the data set.
        oversample_thr (float): Share of the samples below which a class is rare. A
            sample with a class of share f is repeated ceil(sqrt(oversample_thr / f))
            times.
        kwargs: As for mmengine's ClassBalancedDataset.
    """

    def get_cat_ids(self, idx: int) -> list[int]:
        """Return the classes of a sample."""
        return _find_classes(self.dataset, self._get_ori_dataset_idx(idx))

    def _get_repeat_factors(
        self, dataset: BaseDataset, repeat_thr: float
    ) -> list[float]:
        found = [_find_classes(dataset, index) for index in range(len(dataset))]
        samples = Counter(c for classes in found for c in classes)
        rate = {c: sqrt(repeat_thr * len(found) / n) for c, n in samples.items()}
        return [max([1.0, *(rate[c] for c in classes)]) for classes in found]


def _find_classes(dataset: BaseDataset, index: int) -> list[int]:
    """Return the classes in the label or the label map of a sample.

    Raises:
        UserError: The data set has no labels.
    """
    labels = read_labels(dataset, index)
    if labels is None:
        raise UserError(
            f'LabelBalancedDataset finds no labels in {type(dataset).__name__}; it '
            'needs a data set with labels'
        )
    count = len(dataset.metainfo['classes'])  # larger labels are ignored, such as 255
    return [label for label in np.unique(labels).tolist() if label < count]
