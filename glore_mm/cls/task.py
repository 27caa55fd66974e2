"""Classification in the tools."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmcv.transforms import Compose
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.device import get_device
from mmpretrain.models import BaseClassifier
from mmpretrain.structures import DataSample

from glore_mm.cls.visualization import draw_scores
from glore_mm.config.build import build_model
from glore_mm.engine.task import Predictor, Task, find_test_size, topk_classes
from glore_mm.engine.weights import load_classifier
from glore_mm.utils.images import IMAGE_SUFFIXES, read_image
from glore_mm.visualization.drawing import save_image


class ClsTask(Task):
    """Image classification with mmpretrain."""

    input_suffixes = IMAGE_SUFFIXES
    channels = 'BGR'
    dump_metric = 'PerSampleScores'
    visualization_hook = 'ClsPredictionHook'

    def predictor(self, cfg: Config, checkpoint: str) -> Predictor:
        """The network of a config with the weights of a checkpoint."""
        # whatever a user's own config reads with, a damaged file is named
        steps = [
            dict(type='LoadImage') if step['type'] == 'LoadImageFromFile' else step
            for step in cfg.test_dataloader.dataset.pipeline
        ]
        pipeline, after_loading = Compose(steps), Compose(steps[1:])
        model = build_model(cfg).to(get_device()).eval()
        classes = load_classifier(cfg, model, checkpoint)

        def predict(image: str | np.ndarray) -> DataSample:
            if isinstance(image, str):
                sample = pipeline(dict(img_path=image))
            else:
                size = image.shape[:2]
                read = dict(img=image[..., ::-1], img_shape=size, ori_shape=size)
                sample = after_loading(read)
            with torch.no_grad():
                (result,) = model.test_step(pseudo_collate([sample]))
            return result

        return Predictor(
            model,
            predict,
            lambda found, k: topk_classes(found.pred_score.cpu(), classes, k),
        )

    def example_inputs(self, cfg: Config) -> dict[str, Any]:
        """An image of the size that a config tests on."""
        size = find_test_size(cfg, keep_ratio=False)
        return dict(inputs=torch.zeros(1, 3, *size))

    def logits(self, model: BaseClassifier, x: torch.Tensor) -> torch.Tensor:
        """(N, classes) for images (N, 3, H, W)."""
        return model(x)

    def output_names(self, path: Path) -> list[str]:
        """The image with its scores: `<name>.jpg`, `<name>.png.jpg` of a PNG."""
        is_jpeg = path.suffix.lower() in ('.jpg', '.jpeg')
        return [path.name if is_jpeg else f'{path.name}.jpg']

    def draw(self, path: str, classes: list[dict[str, Any]], output: Path) -> None:
        """Write an image with the most likely classes below it."""
        save_image(draw_scores(read_image(path), classes), output)


TASK = ClsTask()
