"""Metrics: scores of every sample for comparisons, accuracy on long-range tasks."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from mmengine.evaluator import BaseMetric
from mmengine.registry import METRICS

from glore_mm.utils.atomic_write import write_npz


@METRICS.register_module()
class PerSampleScores(BaseMetric):
    """Write the scores of every image or video, so that two models can be compared.

    The file holds plain arrays: `names` (n,), paths of the files; `classes` (C,);
    `labels` (n,), int64, the truth; `scores` (n, C), float32, those of a video averaged
    over its views. Where a sample has several labels, or none, `labels` is (n, C), 1
    for each that it has.

    Args:
        path (str): The `.npz` to write.
    """

    default_prefix = None

    def __init__(self, path: str) -> None:
        super().__init__()
        self.path = path

    def process(
        self, data_batch: dict[str, Any], data_samples: Sequence[dict[str, Any]]
    ) -> None:
        """Keep the scores of each sample."""
        for sample in data_samples:
            scores = sample['pred_score'].cpu().numpy().astype(np.float32)
            # mmpretrain's own data sets have img_path only
            name = sample.get('filename') or sample['img_path']
            labels = np.atleast_1d(np.asarray(sample['gt_label'].cpu()))
            self.results.append((name, labels, scores))

    def compute_metrics(self, results: list[Any]) -> dict[str, Any]:
        """Write the file; there is nothing to add to the accuracy."""
        names, truth, scores = zip(*results, strict=True)
        if any(len(each) != 1 for each in truth):
            labels = np.zeros((len(truth), len(scores[0])), np.int64)
            for row, each in zip(labels, truth, strict=True):
                row[each] = 1
        else:
            labels = np.concatenate(truth)
        write_npz(
            self.path,
            names=np.array(names),
            classes=np.array(self.dataset_meta['classes']),
            labels=labels,
            scores=np.stack(scores),
        )
        return {}


class LongRangeAccuracy(BaseMetric):
    """Accuracy where a distant cue decides the class, in per cent.

    `acc` is over the samples as they are, `acc_erased` over their copies without cues,
    where guessing is all that can be done. A task adds to `results` a tuple for each
    sample: whether it is such a copy, how much of it is right, and of how much.
    """

    default_prefix = None

    def compute_metrics(self, results: list[Any]) -> dict[str, Any]:
        """`acc` and `acc_erased`."""
        erased, right, count = np.array(results).T
        return {
            name: 100 * right[part].sum() / count[part].sum()
            for name, part in (('acc', erased == 0), ('acc_erased', erased == 1))
        }
