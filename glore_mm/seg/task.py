"""The segmentation task, as the tools use it."""

import tempfile
from collections.abc import Sequence
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from mmengine.config import Config
from mmengine.model import BaseModel
from mmseg.models import BaseSegmentor
from PIL import Image

from glore_mm.config.build import get_data_preprocessor
from glore_mm.config.checks import check_test_mode
from glore_mm.config.datasets import dataset_metainfo
from glore_mm.engine.task import (
    Predictor,
    Task,
    image_predictor,
    num_input_channels,
    topk_classes,
)
from glore_mm.seg.large_images import can_segment_windows, predict_windows
from glore_mm.seg.visualization import legend, overlay
from glore_mm.utils.atomic_write import make_dir
from glore_mm.utils.bands import BAND_SUFFIXES
from glore_mm.utils.errors import UserError
from glore_mm.utils.videos import (
    VIDEO_SUFFIXES,
    is_video,
    iter_frames,
    map_video,
    open_video,
)
from glore_mm.visualization.drawing import index_image, save_image

_OVERLAY_SIDE = 4096  # pixels; overlays of larger images are reduced


class SegTask(Task):
    """Semantic segmentation with mmsegmentation."""

    input_suffixes = (*BAND_SUFFIXES, *VIDEO_SUFFIXES)
    channels = 'BGR'
    dump_metric = 'PerImageConfusionMatrix'
    visualization_hook = 'SegPredictionHook'
    submission_hook = 'SegSubmissionHook'
    legend = 'legend.png'

    def predictor(
        self, cfg: Config, model: BaseModel, classes: Sequence[str]
    ) -> Predictor:
        """Return a predictor that segments; the score of a class is its pixel share."""
        check_test_mode(cfg)
        predict_image, loader = image_predictor(cfg, model)
        by_windows = can_segment_windows(cfg)

        def predict(image: str | np.ndarray) -> np.ndarray:
            if by_windows and isinstance(image, str):
                with loader.open(image) as opened:
                    return predict_windows(model, opened)
            labels = predict_image(image).pred_sem_seg.data
            return labels.squeeze(0).cpu().numpy().astype(np.uint8)

        return Predictor(
            model,
            classes,
            predict,
            lambda labels, k: _largest(_pixels(labels, classes), classes, k),
            palette=dataset_metainfo(cfg)['palette'],
            loader=loader,
        )

    def example_inputs(self, cfg: Config) -> dict[str, Any]:
        """Return one image of the size that the config trains on."""
        size = get_data_preprocessor(cfg).get('size')
        if size is None:
            raise UserError(
                f'{cfg.filename} has no image size: set '
                'model.data_preprocessor.size=(height,width)'
            )
        return dict(inputs=torch.zeros(1, num_input_channels(cfg), *size))

    def logits(self, model: BaseSegmentor, x: torch.Tensor) -> torch.Tensor:
        """Return logits (N, classes, H, W) of images (N, 3, H, W), without sliding."""
        # the head's own resizing needs sizes as numbers; in an export they are symbolic
        return F.interpolate(
            model(x), x.shape[2:], mode='bilinear', align_corners=model.align_corners
        )

    def output_names(self, path: Path) -> list[str]:
        """Name mask and overlay; the masks of a video are a folder."""
        if is_video(path):
            return [path.stem, f'{path.stem}_overlay.mp4']
        return [f'{path.stem}.png', f'{path.stem}_overlay.jpg']

    def infer(
        self,
        predictor: Predictor,
        path: str,
        outputs: Sequence[Path],
        top_k: int,
    ) -> dict[str, Any]:
        """Segment an image or a video and write masks and overlay."""
        segment = _segment_video if is_video(path) else _segment_image
        pixels = segment(predictor, path, *outputs)
        return dict(classes=_largest(pixels, predictor.classes, top_k))

    def draw_legend(self, predictor: Predictor) -> Image.Image:
        """Return the class names with their colours."""
        return legend(predictor.classes, predictor.palette)


TASK = SegTask()


def _segment_image(
    predictor: Predictor,
    path: str,
    mask: Path | None = None,
    overlaid: Path | None = None,
) -> np.ndarray:
    """Segment an image, write the given outputs, return the pixels per class."""
    labels = predictor.predict(path)
    if mask and overlaid:
        save_image(index_image(labels, predictor.palette), mask)
        picture = predictor.loader.picture(path, _OVERLAY_SIDE)
        shown = Image.fromarray(labels).resize(picture.size, Image.Resampling.NEAREST)
        drawn = overlay(np.asarray(picture), np.asarray(shown), predictor.palette)
        save_image(Image.fromarray(drawn), overlaid)
    return _pixels(labels, predictor.classes)


def _segment_video(
    predictor: Predictor,
    path: str,
    masks: Path | None = None,
    overlaid: Path | None = None,
) -> np.ndarray:
    """Segment a video and write the outputs atomically; return the pixels per class."""
    classes, palette = predictor.classes, predictor.palette
    pixels = np.zeros(len(classes), int)
    if not (masks and overlaid):
        for frame in iter_frames(open_video(path)):
            pixels += _pixels(predictor.predict(frame), classes)
        return pixels
    make_dir(masks.parent)
    with tempfile.TemporaryDirectory(dir=masks.parent, prefix=f'.{masks.name}-') as tmp:
        draft = Path(tmp, 'masks')  # `tmp` itself has permissions for its owner only
        draft.mkdir()
        files = (draft / f'{index:06d}.png' for index in count())

        def segment(frame: np.ndarray) -> np.ndarray:
            labels = predictor.predict(frame)
            pixels[:] += _pixels(labels, classes)
            # no save_image: the folder as a whole is renamed when it is complete
            index_image(labels, palette).save(next(files))
            return overlay(frame, labels, palette)

        map_video(path, overlaid, segment)
        draft.rename(masks)
    return pixels


def _pixels(labels: np.ndarray, classes: Sequence[str]) -> np.ndarray:
    """Count the pixels of each class."""
    return np.bincount(labels.ravel(), minlength=len(classes))


def _largest(
    pixels: np.ndarray, classes: Sequence[str], top_k: int
) -> list[dict[str, Any]]:
    """Return the classes with the largest pixel shares, without those at 0."""
    count = min(top_k, int(np.count_nonzero(pixels)))
    return topk_classes(pixels / pixels.sum(), classes, count)
