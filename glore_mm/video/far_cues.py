"""Clips with far cues in mmaction2, see `glore_mm.datasets.far_cue_clips`."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mmaction.models import I3DHead
from mmaction.registry import METRICS, MODELS
from torch import Tensor

from glore_mm.datasets.far_cues import ERASED
from glore_mm.engine.far_cues import FarCueAccuracy


@MODELS.register_module()
class LastFrameHead(I3DHead):
    """A classifier of the end of a clip: of the last of the maps along time.

    I3DHead takes the mean over all of them, and sees what was long ago by that alone.
    The arguments are those of I3DHead.
    """

    def forward(self, x: Tensor, **kwargs: Any) -> Tensor:
        """(N, C, T, H, W) → (N, classes)."""
        return super().forward(x[:, :, -1:], **kwargs)


@METRICS.register_module()
class FarCueClipAccuracy(FarCueAccuracy):
    """FarCueAccuracy of clips."""

    def process(
        self, data_batch: dict[str, Any], data_samples: Sequence[dict[str, Any]]
    ) -> None:
        """Compare the class of each clip."""
        for sample in data_samples:
            right = sample['pred_score'].argmax().item() == int(sample['gt_label'])
            erased = Path(sample['filename']).stem.endswith(ERASED)
            self.results.append((erased, right, 1))
