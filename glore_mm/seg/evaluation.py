"""Metrics: per-image confusion matrices, accuracy on long-range strips."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.evaluator import BaseMetric
from mmseg.registry import METRICS

from glore_mm.engine.evaluation import LongRangeAccuracy
from glore_mm.synthetic.long_range_strips import ERASED
from glore_mm.utils.atomic_write import write_npz
from glore_mm.utils.errors import UserError


@METRICS.register_module()
class PerImageConfusionMatrix(BaseMetric):
    """Write the confusion matrix of every image, for the comparison of two models.

    The file contains three arrays: `names` (n,), the paths of the images; `classes`
    (C,); `confusion` (n, C, C), int64, the number of pixels by true class (row) and
    predicted class (column). Ignored pixels are not counted.

    Args:
        path (str): The `.npz` to write.
        ignore_index (int): The label that is not scored. Default: 255.
    """

    def __init__(self, path: str, ignore_index: int = 255) -> None:
        super().__init__()
        self.path = path
        self.ignore_index = ignore_index

    def process(
        self, data_batch: dict[str, Any], data_samples: Sequence[dict[str, Any]]
    ) -> None:
        """Count the pixels of each sample."""
        count = len(self.dataset_meta['classes'])
        for sample in data_samples:
            predicted = sample['pred_sem_seg']['data'].flatten().cpu().numpy()
            truth = sample['gt_sem_seg']['data'].flatten().cpu().numpy()
            scored = truth != self.ignore_index
            if (largest := truth[scored].max(initial=0)) >= count:
                raise UserError(
                    f'--dump: the label map of {sample["img_path"]} has the value '
                    f'{largest}, which is neither one of the {count} classes nor '
                    f'ignore_index ({self.ignore_index}). Leave out only one value.'
                )
            pairs = truth[scored].astype(np.int64) * count + predicted[scored]
            matrix = np.bincount(pairs, minlength=count**2).reshape(count, count)
            self.results.append((sample['img_path'], matrix))

    def compute_metrics(self, results: list[Any]) -> dict[str, Any]:
        """Write the file; return no metrics."""
        names, matrices = zip(*results, strict=True)
        write_npz(
            self.path,
            names=np.array(names),
            classes=np.array(self.dataset_meta['classes']),
            confusion=np.stack(matrices),
        )
        return {}


@METRICS.register_module()
class LongRangePixelAccuracy(LongRangeAccuracy):
    """LongRangeAccuracy, measured over the pixels of the regions."""

    def process(
        self, data_batch: dict[str, Any], data_samples: Sequence[dict[str, Any]]
    ) -> None:
        """Count the pixels of each strip."""
        for sample in data_samples:
            truth = sample['gt_sem_seg']['data']
            scored = truth != 255
            right = (sample['pred_sem_seg']['data'] == truth)[scored].sum().item()
            erased = Path(sample['img_path']).stem.endswith(ERASED)
            self.results.append((erased, right, scored.sum().item()))
