"""Scoring what was told by a far cue apart from the copies that lack it."""

from typing import Any

import numpy as np
from mmengine.evaluator import BaseMetric


class FarCueAccuracy(BaseMetric):
    """How much is right where a far cue tells the class, in per cent.

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
