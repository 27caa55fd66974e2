"""Segmentation in the tools."""

import tempfile
from collections.abc import Iterator, Sequence
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from mmengine.config import Config
from mmengine.device import get_device
from mmseg.apis import inference_model, init_model
from mmseg.models import BaseSegmentor
from PIL import Image

from glore_mm.config.build import dataset_metainfo
from glore_mm.engine.task import Predictor, Task, topk_classes
from glore_mm.engine.weights import load_weights
from glore_mm.seg.visualization import legend, overlay, read_rgb
from glore_mm.utils.errors import UserError
from glore_mm.utils.images import IMAGE_SUFFIXES
from glore_mm.utils.paths import output_files
from glore_mm.utils.videos import (
    VIDEO_SUFFIXES,
    is_video,
    iter_frames,
    map_video,
    open_video,
)
from glore_mm.visualization.drawing import save_image

_LEGEND = 'legend.png'


class SegTask(Task):
    """Semantic segmentation with mmsegmentation."""

    input_suffixes = (*IMAGE_SUFFIXES, *VIDEO_SUFFIXES)
    channels = 'BGR'
    dump_metric = 'PerImageConfusionMatrix'
    visualization_hook = 'SegPredictionHook'
    submission_metric = 'CityscapesSubmission'

    def predictor(self, cfg: Config, checkpoint: str) -> Predictor:
        """The network of a config; the classes of a prediction are shares of pixels."""
        model, classes = _load(cfg, checkpoint), dataset_metainfo(cfg)['classes']

        def predict(image: str | np.ndarray) -> np.ndarray:
            if isinstance(image, str):
                image = read_rgb(image)
            return _labels_of(model, image)

        return Predictor(
            model,
            predict,
            lambda labels, k: _largest(_pixels(labels, classes), classes, k),
        )

    def example_inputs(self, cfg: Config) -> dict[str, Any]:
        """An image of the size that a config trains on."""
        size = cfg.model.data_preprocessor.get('size')
        if size is None:
            raise UserError(
                f'{cfg.filename} names no size of images: give '
                'model.data_preprocessor.size=(height,width)'
            )
        return dict(inputs=torch.zeros(1, 3, *size))

    def logits(self, model: BaseSegmentor, x: torch.Tensor) -> torch.Tensor:
        """(N, classes, H, W) for images (N, 3, H, W), each taken as a whole."""
        # the head itself asks for sizes that are numbers, which export has not
        return F.interpolate(
            model(x), x.shape[2:], mode='bilinear', align_corners=model.align_corners
        )

    def output_names(self, path: Path) -> list[str]:
        """Masks and overlay: files of an image, a folder and a file of a video."""
        if is_video(path):
            return [path.stem, f'{path.stem}_overlay.mp4']
        return [f'{path.stem}.png', f'{path.stem}_overlay.jpg']

    def infer(
        self,
        cfg: Config,
        checkpoint: str,
        inputs: list[str],
        out_dir: str | None = None,
        top_k: int = 5,
    ) -> Iterator[dict[str, Any]]:
        """Segment images and videos.

        Args:
            cfg (Config): From `load_config`.
            checkpoint (str): File with the weights.
            inputs (list[str]): Paths of images and videos.
            out_dir (str, optional): Folder to write to: for each image the classes as a
                palette PNG (`<name>.png`) and an overlay (`<name>_overlay.jpg`); for
                each video those of its frames (`<name>/000000.png`, …) and an overlay
                (`<name>_overlay.mp4`); for all a legend (`legend.png`).
            top_k (int): How many classes to report.

        Yields:
            dict: `input` and `classes`, the largest first: `label`, `score` (its share
            of the pixels, of all frames).

        Raises:
            UserError: An input cannot be read, or a result would replace a file of the
                inputs or of another result, or a folder.
        """
        outputs = (
            output_files(inputs, out_dir, self.output_names, _LEGEND) if out_dir else {}
        )
        for path, (masks, _) in outputs.items():
            if is_video(path) and masks.exists():
                raise UserError(
                    f'the result of {path} would be written over {masks}, which '
                    'exists. Remove it, or give another --out-dir.'
                )
        model = _load(cfg, checkpoint)
        meta = dataset_metainfo(cfg)
        classes, palette = meta['classes'], meta['palette']
        for index, path in enumerate(inputs):
            segment = _segment_video if is_video(path) else _segment_image
            pixels = segment(model, path, palette, *outputs.get(path, ()))
            if out_dir and index == 0:  # there is something that it explains
                save_image(legend(classes, palette), Path(out_dir, _LEGEND))
            yield dict(input=path, classes=_largest(pixels, classes, top_k))


TASK = SegTask()


def _load(cfg: Config, checkpoint: str) -> BaseSegmentor:
    model = init_model(cfg, device=get_device())
    load_weights(model, checkpoint)
    return model


def _segment_image(
    model: BaseSegmentor,
    path: str,
    palette: Sequence[Sequence[int]],
    mask: Path | None = None,
    coloured: Path | None = None,
) -> np.ndarray:
    """Segment an image, write it where that is asked for, count the pixels."""
    image = read_rgb(path)
    labels = _labels_of(model, image)
    if mask and coloured:
        save_image(_mask(labels, palette), mask)
        save_image(Image.fromarray(overlay(image, labels, palette)), coloured)
    return _pixels(labels, palette)


def _segment_video(
    model: BaseSegmentor,
    path: str,
    palette: Sequence[Sequence[int]],
    masks: Path | None = None,
    coloured: Path | None = None,
) -> np.ndarray:
    """The same for a video; its files appear when they are complete."""
    pixels = np.zeros(len(palette), int)
    if not (masks and coloured):
        for frame in iter_frames(open_video(path)):
            pixels += _pixels(_labels_of(model, frame), palette)
        return pixels
    with tempfile.TemporaryDirectory(dir=masks.parent, prefix=f'.{masks.name}-') as tmp:
        draft = Path(tmp, 'masks')  # the folder itself is closed to other users
        draft.mkdir()
        files = (draft / f'{index:06d}.png' for index in count())

        def colour(frame: np.ndarray) -> np.ndarray:
            labels = _labels_of(model, frame)
            pixels[:] += _pixels(labels, palette)
            _mask(labels, palette).save(next(files))  # the folder is a draft itself
            return overlay(frame, labels, palette)

        map_video(path, coloured, colour)
        draft.rename(masks)
    return pixels


def _labels_of(model: BaseSegmentor, image: np.ndarray) -> np.ndarray:
    """Classes, uint8 (H, W), of an image, uint8 (H, W, 3), RGB."""
    sample = inference_model(model, np.ascontiguousarray(image[..., ::-1]))
    return sample.pred_sem_seg.data.squeeze(0).cpu().numpy().astype(np.uint8)


def _pixels(labels: np.ndarray, classes: Sequence[Any]) -> np.ndarray:
    """How many pixels each class has."""
    return np.bincount(labels.ravel(), minlength=len(classes))


def _largest(
    pixels: np.ndarray, classes: Sequence[str], top_k: int
) -> list[dict[str, Any]]:
    found = topk_classes(pixels / pixels.sum(), classes, top_k)
    return [each for each in found if each['score'] > 0]


def _mask(labels: np.ndarray, palette: Sequence[Sequence[int]]) -> Image.Image:
    mask = Image.fromarray(labels, mode='P')
    mask.putpalette(np.array(palette, np.uint8).ravel().tolist())
    return mask
