"""The classification task, as the tools use it."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from mmengine.model import BaseModel
from mmpretrain.models import BaseClassifier

from glore_mm.cls.visualization import draw_scores
from glore_mm.engine.task import (
    Predictor,
    Task,
    find_test_size,
    image_predictor,
    num_input_channels,
    topk_classes,
)
from glore_mm.utils.images import IMAGE_SUFFIXES
from glore_mm.visualization.drawing import save_image


class ClsTask(Task):
    """Image classification with mmpretrain."""

    input_suffixes = IMAGE_SUFFIXES
    channels = 'BGR'
    dump_metric = 'PerSampleScores'
    visualization_hook = 'ClsPredictionHook'

    def predictor(
        self, cfg: Config, model: BaseModel, classes: Sequence[str]
    ) -> Predictor:
        """Return a predictor that classifies images."""
        predict, loader = image_predictor(cfg, model)
        return Predictor(
            model,
            classes,
            predict,
            lambda found, k: topk_classes(found.pred_score.cpu(), classes, k),
            loader=loader,
        )

    def example_inputs(self, cfg: Config) -> dict[str, Any]:
        """Return one image of the size that the config tests on."""
        size = find_test_size(cfg, keep_ratio=False)
        return dict(inputs=torch.zeros(1, num_input_channels(cfg), *size))

    def logits(self, model: BaseClassifier, x: torch.Tensor) -> torch.Tensor:
        """Return logits (N, classes) of images (N, 3, H, W)."""
        return model(x)

    def output_names(self, path: Path) -> list[str]:
        """Name the image with its scores: `<name>.jpg`; `<name>.png.jpg` for a PNG."""
        is_jpeg = path.suffix.lower() in ('.jpg', '.jpeg')
        return [path.name if is_jpeg else f'{path.name}.jpg']

    def infer(
        self, predictor: Predictor, path: str, outputs: Sequence[Path], top_k: int
    ) -> dict[str, Any]:
        """Classify an image and write it with the most likely classes below it."""
        classes = predictor.topk(predictor.predict(path), top_k)
        for output in outputs:
            save_image(draw_scores(predictor.loader.picture(path), classes), output)
        return dict(classes=classes)


TASK = ClsTask()
