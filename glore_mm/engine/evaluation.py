"""Metrics: a dump of the scores of every sample, accuracy on long-range tasks."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from mmengine.evaluator import BaseMetric
from mmengine.registry import METRICS

from glore_mm.utils.atomic_write import write_npz
from glore_mm.utils.datasets import label_indices


@METRICS.register_module()
class PerSampleScores(BaseMetric):
    """Write the scores of every image or video, so that two models can be compared.

    The file has these arrays: `names` (n,), the paths of the files; `classes` (C,);
    `labels` (n,), int64, the ground truth; `scores` (n, C), float32, averaged over the
    views of a video. If a sample has several labels or none, `labels` is (n, C), with 1
    for each label of a sample.

    Args:
        path (str): The `.npz` file to write.
    """

    def __init__(self, path: str) -> None:
        super().__init__()
        self.path = path

    def process(
        self, data_batch: dict[str, Any], data_samples: Sequence[dict[str, Any]]
    ) -> None:
        """Keep the scores of each sample."""
        for sample in data_samples:
            scores = sample['pred_score'].cpu().numpy().astype(np.float32)
            # data sets of mmpretrain set only img_path
            name = sample.get('filename') or sample['img_path']
            labels = np.atleast_1d(label_indices(sample['gt_label'].cpu()))
            self.results.append((name, labels, scores))

    def compute_metrics(self, results: list[Any]) -> dict[str, Any]:
        """Write the file; return no metrics."""
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
    """Accuracy in per cent on data where a distant cue decides the class.

    `acc` is the accuracy on the samples, `acc_erased` that on their copies without
    cues, on which a network can only guess. A subclass appends to `results` a tuple for
    each sample: whether it is a copy without cue, the number of right predictions, and
    the number of predictions.
    """

    def compute_metrics(self, results: list[Any]) -> dict[str, Any]:
        """Return `acc` and `acc_erased`."""
        erased, right, count = np.array(results).T
        return {
            name: 100 * right[part].sum() / count[part].sum()
            for name, part in (('acc', erased == 0), ('acc_erased', erased == 1))
        }
