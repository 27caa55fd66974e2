"""What classification adds to the tools."""

from collections.abc import Iterator
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

from glore_mm.cls.pictures import with_scores
from glore_mm.cls.reading import SUFFIXES, read_photograph
from glore_mm.engine import (
    Predictor,
    build_model,
    load_classifier,
    output_files,
    ranked,
)
from glore_mm.pictures import save

INPUT_SUFFIXES = SUFFIXES
SUBMISSION = None  # no server takes predictions
DUMP = 'PerSampleScores'
PICTURES = 'SavePhotographs'
CHANNELS = 'BGR'  # as the data preprocessor is given them


def infer(
    cfg: Config,
    checkpoint: str,
    inputs: list[str],
    out_dir: str | None = None,
    top_k: int = 5,
) -> Iterator[dict[str, Any]]:
    """Classify images.

    Args:
        cfg (Config): From `load_config`.
        checkpoint (str): File with the weights.
        inputs (list[str]): Paths of images.
        out_dir (str, optional): Where to write each image with the most likely classes
            below it (`<name>.jpg`; `<name>.png.jpg` if it was no JPEG).
        top_k (int): How many classes to report.

    Yields:
        dict: `input` and `classes`, the most likely first: `label`, `score`.

    Raises:
        UserError: An image cannot be read, or a result would replace a file of the
            inputs or of another result.
    """
    outputs = output_files(inputs, out_dir, _names) if out_dir else {}
    ask = predictor(cfg, checkpoint)
    for path in inputs:
        best = ask.ranked(ask.predict(path), top_k)
        if outputs:
            save(with_scores(read_photograph(path), best), outputs[path][0])
        yield dict(input=path, classes=best)


def predictor(cfg: Config, checkpoint: str) -> Predictor:
    """The network of a config with its weights.

    Raises:
        UserError: Neither the checkpoint nor the config names the classes.
    """
    # whatever a user's own config reads with, a damaged file is named
    steps = [
        dict(type='LoadPhotograph') if step['type'] == 'LoadImageFromFile' else step
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
        model, predict, lambda found, k: ranked(found.pred_score.cpu(), classes, k)
    )


def example_inputs(cfg: Config) -> dict[str, Any]:
    """An image of the size that a config tests on, as the network's arguments."""
    size = 1
    for step in cfg.test_dataloader.dataset.pipeline:
        if step['type'] == 'Resize':
            size = step['scale'][::-1]
        size = step.get('crop_size', size)
    height, width = np.broadcast_to(size, 2).tolist()
    return dict(inputs=torch.zeros(1, 3, height, width))


def logits(model: BaseClassifier, images: torch.Tensor) -> torch.Tensor:
    """(N, classes) for normalised images (N, 3, H, W)."""
    return model(images)


def _names(path: Path) -> list[str]:
    is_jpeg = path.suffix.lower() in ('.jpg', '.jpeg')
    return [path.name if is_jpeg else f'{path.name}.jpg']
