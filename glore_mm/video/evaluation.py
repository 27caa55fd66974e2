"""What a test can write beside its accuracy."""

from collections.abc import Sequence

import numpy as np
from mmaction.registry import METRICS
from mmengine.evaluator import BaseMetric

from glore_mm.engine import write_npz


@METRICS.register_module()
class PerVideoScores(BaseMetric):
    """Write the scores of every video, so that two models can be compared.

    The file holds plain arrays: `names` (n,), paths of the videos; `classes` (C,);
    `labels` (n,), int64, the truth; `scores` (n, C), float32, averaged over the views.

    Args:
        path (str): The `.npz` to write.
    """

    default_prefix = None

    def __init__(self, path: str) -> None:
        super().__init__()
        self.path = path

    def process(self, data_batch: dict, data_samples: Sequence[dict]) -> None:
        """Keep the scores of each sample."""
        for sample in data_samples:
            scores = sample['pred_score'].cpu().numpy().astype(np.float32)
            self.results.append((sample['filename'], int(sample['gt_label']), scores))

    def compute_metrics(self, results: list) -> dict:
        """Write the file; there is nothing to add to the accuracy."""
        names, labels, scores = zip(*results, strict=True)
        write_npz(
            self.path,
            names=np.array(names),
            classes=np.array(self.dataset_meta['classes']),
            labels=np.array(labels),
            scores=np.stack(scores),
        )
        return {}
