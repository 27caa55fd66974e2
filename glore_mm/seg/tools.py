"""What segmentation adds to the tools."""

import os.path as osp
from collections.abc import Iterator

import numpy as np
import torch
from mmengine.config import Config
from mmengine.utils import mkdir_or_exist
from mmseg.apis import inference_model, init_model
from PIL import Image

from glore_mm.errors import UserError
from glore_mm.seg.pictures import overlay, read_rgb

INPUT_SUFFIXES = ('.png', '.jpg', '.jpeg')


def add_outputs(
    cfg: Config,
    format_dir: str | None = None,
    show_dir: str | None = None,
    dump: str | None = None,
) -> None:
    """Let a test write more than its mIoU; the arguments are those of tools/test.py."""
    evaluators = cfg.test_evaluator
    evaluators = list(evaluators) if isinstance(evaluators, list) else [evaluators]
    if format_dir:
        evaluators.append(dict(type='CityscapesSubmission', folder=format_dir))
    if dump:
        evaluators.append(dict(type='PerImageConfusion', path=dump))
    cfg.test_evaluator = evaluators
    if show_dir:
        hook = dict(type='SavePictures', folder=show_dir)
        cfg.custom_hooks = [*cfg.get('custom_hooks', []), hook]


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
        UserError: An image cannot be read.
    """
    device = 'cuda:0' if torch.cuda.is_available() else 'cpu'
    model = init_model(cfg, checkpoint, device=device)
    classes, palette = model.dataset_meta['classes'], model.dataset_meta['palette']
    for path in inputs:
        try:
            image = read_rgb(path)
            sample = inference_model(model, path)
        except (OSError, SyntaxError) as error:
            raise UserError(f'{path} cannot be read as an image: {error}') from error
        labels = sample.pred_sem_seg.data.squeeze(0).cpu().numpy().astype(np.uint8)
        shares = np.bincount(labels.ravel(), minlength=len(classes)) / labels.size
        if out_dir:
            mkdir_or_exist(out_dir)
            name = osp.join(out_dir, osp.splitext(osp.basename(path))[0])
            mask = Image.fromarray(labels, mode='P')
            mask.putpalette(np.array(palette, np.uint8).ravel().tolist())
            mask.save(f'{name}.png')
            Image.fromarray(overlay(image, labels, palette)).save(f'{name}_overlay.jpg')
        yield dict(
            input=path,
            classes=[
                dict(label=classes[c], score=round(float(shares[c]), 4))
                for c in np.argsort(-shares)[:top_k]
                if shares[c] > 0
            ],
        )
