"""What video adds to the tools."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmaction.apis import inference_recognizer, init_recognizer
from mmaction.models import BaseRecognizer
from mmcv.transforms import Compose
from mmengine.config import Config
from mmengine.device import get_device

from glore_mm.engine import (
    VIDEO_SUFFIXES,
    Predictor,
    load_classifier,
    output_files,
    ranked,
)
from glore_mm.errors import UserError
from glore_mm.video.pictures import write_captioned
from glore_mm.video.views import set_views

__all__ = [
    'CHANNELS',
    'DUMP',
    'INPUT_SUFFIXES',
    'PICTURES',
    'SUBMISSION',
    'example_inputs',
    'infer',
    'logits',
    'predictor',
    'set_views',
]

INPUT_SUFFIXES = VIDEO_SUFFIXES
SUBMISSION = None  # no server takes predictions
DUMP = 'PerSampleScores'
PICTURES = 'SaveStrips'
CHANNELS = 'RGB'  # as the data preprocessor is given them


def infer(
    cfg: Config,
    checkpoint: str,
    inputs: list[str],
    out_dir: str | None = None,
    top_k: int = 5,
) -> Iterator[dict[str, Any]]:
    """Classify clips.

    Args:
        cfg (Config): From `load_config`.
        checkpoint (str): File with the weights.
        inputs (list[str]): Paths of videos.
        out_dir (str, optional): Where to write each video with the most likely class
            drawn in (`<name>.mp4`; `<name>.avi.mp4` if it was no MP4).
        top_k (int): How many classes to report.

    Yields:
        dict: `input` and `classes`, the most likely first: `label`, `score`.

    Raises:
        UserError: A clip cannot be used, the config reads no videos, or a result would
            replace a file of the inputs or of another result.
    """
    outputs = output_files(inputs, out_dir, _names) if out_dir else {}
    ask = predictor(cfg, checkpoint)
    for path in inputs:
        best = ask.ranked(ask.predict(path), top_k)
        if outputs:
            text = f'{best[0]["label"]} {best[0]["score"]:.0%}'
            write_captioned(path, str(outputs[path][0]), text)
        yield dict(input=path, classes=best)


def predictor(cfg: Config, checkpoint: str) -> Predictor:
    """The network of a config with its weights.

    Raises:
        UserError: The config reads no videos, or neither the checkpoint nor the config
            names the classes.
    """
    dataset = cfg.test_dataloader.dataset
    if dataset.pipeline[0]['type'] != 'OpenVideo':
        raise UserError(
            f'{cfg.filename} does not read video files: its test pipeline begins with '
            f'{dataset.pipeline[0]["type"]}, not OpenVideo'
        )
    # one clip is no comparison: one that is too short begins anew
    steps = [
        dict(step, out_of_bound_opt='loop') if step['type'] == 'SampleClips' else step
        for step in dataset.pipeline
    ]
    pipeline = Compose(steps)
    model = init_recognizer(cfg, device=get_device())
    classes = load_classifier(cfg, model, checkpoint)
    return Predictor(
        model,
        lambda path: inference_recognizer(model, path, pipeline),
        lambda found, k: ranked(found.pred_score.cpu(), classes, k),
        of_videos=True,
    )


def example_inputs(cfg: Config) -> dict[str, Any]:
    """A clip of the size that a config tests on, as the network's arguments."""
    size = frames = 1
    for step in cfg.test_dataloader.dataset.pipeline:
        frames = step.get('clip_len', frames)
        if step['type'] == 'Resize' and not step.get('keep_ratio', True):
            size = step['scale'][::-1]
        size = step.get('crop_size', size)
    height, width = np.broadcast_to(size, 2).tolist()
    return dict(inputs=torch.zeros(1, 1, 3, frames, height, width), stage='head')


def logits(model: BaseRecognizer, clips: torch.Tensor) -> torch.Tensor:
    """(N, classes) for normalised clips (N, 3, T, H, W)."""
    return model(clips[:, None], stage='head')  # one clip a sample


def _names(path: Path) -> list[str]:
    return [path.name if path.suffix.lower() == '.mp4' else f'{path.name}.mp4']
