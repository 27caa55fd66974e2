"""Strips with far cues in mmsegmentation, see `glore_mm.datasets.far_cues`."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mmseg.registry import DATASETS, METRICS

from glore_mm.datasets.far_cues import COLORS, ERASED
from glore_mm.engine.far_cues import FarCueAccuracy
from glore_mm.seg.datasets import PairedFiles


@DATASETS.register_module()
class FarCues(PairedFiles):
    """The strips of `write_far_cues`; `val` also has their copies without cues."""

    METAINFO = dict(classes=tuple(COLORS), palette=[list(c) for c in COLORS.values()])
    image_endings = ('.png',)


@METRICS.register_module()
class FarCuePixelAccuracy(FarCueAccuracy):
    """FarCueAccuracy of the pixels of regions."""

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
