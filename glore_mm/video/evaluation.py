"""Accuracy on clips with long-range cues."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mmaction.registry import METRICS

from glore_mm.engine.evaluation import LongRangeAccuracy
from glore_mm.synthetic.long_range_strips import ERASED


@METRICS.register_module()
class LongRangeClipAccuracy(LongRangeAccuracy):
    """LongRangeAccuracy, measured over clips."""

    def process(
        self, data_batch: dict[str, Any], data_samples: Sequence[dict[str, Any]]
    ) -> None:
        """Compare the predicted class of each clip with its label."""
        for sample in data_samples:
            right = sample['pred_score'].argmax().item() == int(sample['gt_label'])
            erased = Path(sample['filename']).stem.endswith(ERASED)
            self.results.append((erased, right, 1))
