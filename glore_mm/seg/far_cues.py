"""Strips with far cues in mmsegmentation, see `glore_mm.datasets.far_cues`."""

from collections.abc import Sequence

import numpy as np
from mmengine.evaluator import BaseMetric
from mmseg.registry import DATASETS, METRICS

from glore_mm.datasets.far_cues import COLORS
from glore_mm.seg.datasets import PairedFiles


@DATASETS.register_module()
class FarCues(PairedFiles):
    """The strips of `write_far_cues`; `val` also has their copies without cues."""

    METAINFO = dict(classes=tuple(COLORS), palette=[list(c) for c in COLORS.values()])
    image_endings = ('.png',)


@METRICS.register_module()
class FarCueAccuracy(BaseMetric):
    """How many pixels of the regions get the class that their cue tells, in per cent.

    `acc` is over the strips, `acc_erased` over their copies without cues, where
    guessing is all that can be done.
    """

    default_prefix = None

    def process(self, data_batch: dict, data_samples: Sequence[dict]) -> None:
        """Count the pixels of each strip."""
        for sample in data_samples:
            truth = sample['gt_sem_seg']['data']
            scored = truth != 255
            right = (sample['pred_sem_seg']['data'] == truth)[scored].sum().item()
            erased = sample['img_path'].endswith('_erased.png')
            self.results.append((erased, right, scored.sum().item()))

    def compute_metrics(self, results: list) -> dict:
        """`acc` and `acc_erased`."""
        erased, right, count = np.array(results).T
        return {
            name: 100 * right[part].sum() / count[part].sum()
            for name, part in (('acc', erased == 0), ('acc_erased', erased == 1))
        }
