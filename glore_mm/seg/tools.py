"""What segmentation adds to the tools."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from mmengine.config import Config
from mmengine.device import get_device
from mmseg.apis import inference_model, init_model
from PIL import Image

from glore_mm.engine import load_weights, metainfo_of, output_files
from glore_mm.errors import UserError
from glore_mm.seg.pictures import overlay, read_rgb

INPUT_SUFFIXES = ('.png', '.jpg', '.jpeg')
SUBMISSION = 'CityscapesSubmission'
DUMP = 'PerImageConfusion'
PICTURES = 'SavePictures'


def infer(
    cfg: Config,
    checkpoint: str,
    inputs: list[str],
    out_dir: str | None = None,
    top_k: int = 5,
) -> Iterator[dict]:
    """Segment images.

    Args:
        cfg (Config): From `load_config`.
        checkpoint (str): File with the weights.
        inputs (list[str]): Paths of images.
        out_dir (str, optional): Where to write, for each image, the classes as a
            palette PNG (`<name>.png`) and an overlay (`<name>_overlay.jpg`).
        top_k (int): How many classes to report.

    Yields:
        dict: `input` and `classes`, the largest first: `label`, `score` (its share of
        the pixels).

    Raises:
        UserError: An image cannot be read, or a result would replace a file of the
            inputs or of another result.
    """
    outputs = output_files(inputs, out_dir, _names) if out_dir else {}
    model = init_model(cfg, device=get_device())
    load_weights(model, checkpoint)
    meta = metainfo_of(cfg)
    classes, palette = meta['classes'], meta['palette']
    for path in inputs:
        try:
            image = read_rgb(path)
            sample = inference_model(model, path)
        except (OSError, SyntaxError) as error:
            raise UserError(f'{path} cannot be read as an image: {error}') from error
        labels = sample.pred_sem_seg.data.squeeze(0).cpu().numpy().astype(np.uint8)
        shares = np.bincount(labels.ravel(), minlength=len(classes)) / labels.size
        if outputs:
            mask = Image.fromarray(labels, mode='P')
            mask.putpalette(np.array(palette, np.uint8).ravel().tolist())
            coloured = Image.fromarray(overlay(image, labels, palette))
            for picture, file in zip((mask, coloured), outputs[path], strict=True):
                picture.save(file)
        yield dict(
            input=path,
            classes=[
                dict(label=classes[c], score=round(float(shares[c]), 4))
                for c in np.argsort(-shares)[:top_k]
                if shares[c] > 0
            ],
        )


def example_inputs(cfg: Config) -> dict:
    """An image of the size that a config trains on, as the network's arguments."""
    size = cfg.model.data_preprocessor.size
    return dict(inputs=torch.zeros(1, 3, *size))


def _names(path: Path) -> list[str]:
    return [f'{path.stem}.png', f'{path.stem}_overlay.jpg']
