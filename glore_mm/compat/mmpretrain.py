"""Patches of mmpretrain 1.2.0. The comments give the line of each fault."""

from __future__ import annotations

from typing import Any

from glore_mm.compat.import_hook import after_import, patch_function


# mmpretrain/models/tta/score_tta.py:32 keeps the label of the first view beside the
# mean of the scores. Needed until mmpretrain derives the label from the mean.
@after_import('mmpretrain.models.tta.score_tta')
def fix_labels_of_tta(score_tta: Any) -> None:
    """Let AverageClsScoreTTA predict the label of the mean of the scores."""

    @patch_function(score_tta.AverageClsScoreTTA, '_merge_single_sample')
    def wrapper(original: Any, self: Any, data_samples: Any) -> Any:
        merged = original(self, data_samples)
        score, head = merged.pred_score, self.module.head
        if not hasattr(head, 'thr'):
            label = score.argmax(keepdim=True)
        elif head.thr is not None:  # several labels
            label = (score >= head.thr).nonzero().flatten()
        else:
            label = score.topk(head.topk).indices
        return merged.set_pred_label(label)
