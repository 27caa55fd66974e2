"""What segmentation adds to the tools."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from mmengine.config import Config
from mmengine.device import get_device
from mmengine.runner import load_checkpoint
from mmengine.utils import mkdir_or_exist
from mmseg.apis import inference_model, init_model
from mmseg.registry import DATASETS
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
        UserError: An image cannot be read, or a result would replace a file of the
            inputs or of another result.
    """
    outputs = _outputs(inputs, out_dir) if out_dir else None
    model = init_model(cfg, device=get_device())
    load_checkpoint(model, checkpoint, map_location='cpu')
    meta = _meta_of(cfg)
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


def _meta_of(cfg: Config) -> dict:
    """Names and colours of the classes, as the config's test set has them."""
    dataset = dict(cfg.test_dataloader.dataset, lazy_init=True)  # reads no files
    return DATASETS.build(dataset).metainfo


def _outputs(inputs: list[str], out_dir: str) -> dict[str, tuple[Path, Path]]:
    """Mask and overlay of each input, no file of them another's or an input."""
    taken = {Path(path).resolve(): path for path in inputs}
    outputs = {}
    for path in inputs:
        name = Path(out_dir, Path(path).stem)
        outputs[path] = (Path(f'{name}.png'), Path(f'{name}_overlay.jpg'))
        for file in outputs[path]:
            if file.resolve() in taken:
                raise UserError(
                    f'the result of {path} would be written over '
                    f'{taken[file.resolve()]} or its result ({file}). Give another '
                    '--out-dir, or the inputs one by one.'
                )
        taken |= {file.resolve(): path for file in outputs[path]}
    mkdir_or_exist(out_dir)
    return outputs
