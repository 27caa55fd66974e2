"""Interface of the tasks (segmentation, classification, video) for the tools."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmcv.transforms import Compose
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.model import BaseModel
from mmengine.structures import BaseDataElement
from PIL import Image
from torch import Tensor, nn

from glore_mm.config.build import get_data_preprocessor
from glore_mm.config.datasets import (
    find_band_loader,
    first_dataset,
    test_pipeline,
    type_name,
)
from glore_mm.engine.transforms import LoadBands, LoadImage, find_loader
from glore_mm.utils.datasets import LABEL_LOADERS
from glore_mm.utils.errors import UserError


@dataclass(frozen=True)
class Predictor:
    """A trained network that predicts single inputs, with one interface for all tasks.

    Attributes:
        model (nn.Module): The network, in evaluation mode, on its device.
        classes (Sequence[str]): The names of the classes.
        predict (Callable[[str | np.ndarray], Any]): Returns the prediction for the path
            of an input; networks for images also take an image, uint8 (H, W, 3), RGB.
        topk (Callable[[Any, int], list[dict]]): Returns the k best classes of a
            prediction, the best first: `label`, `score`.
        takes_videos (bool): Whether an input is a video, not an image.
        palette (Sequence[Sequence[int]]): Only of a segmentor: the RGB colour of every
            class, 0 to 255.
        loader (LoadImage | LoadBands): Reads the file of an image as a picture.
    """

    model: nn.Module
    classes: Sequence[str]
    predict: Callable[[Any], Any]
    topk: Callable[[Any, int], list[dict[str, Any]]]
    takes_videos: bool = False
    palette: Sequence[Sequence[int]] = ()
    loader: LoadImage | LoadBands = field(default_factory=LoadImage)


class Task(ABC):
    """Base class of the tasks; `glore_mm.<task>.task.TASK` is the instance of a task.

    Attributes:
        input_suffixes (tuple[str, ...]): Suffixes of the files that `infer` reads, in
            lower case.
        frame_suffixes (tuple[str, ...]): Suffixes of images whose folder is an input,
            too: the frames of a video.
        channels (str): Order of the channels before the data preprocessor, 'RGB' or
            'BGR'.
        dump_metric (str): Type of the metric that writes `--dump`.
        visualization_hook (str): Type of the hook that writes `--show-dir`.
        submission_hook (str, optional): Type of the hook that writes
            `--submission-dir`; None if no evaluation server accepts predictions.
        legend (str, optional): File name of the legend of the pictures that `infer`
            writes.
    """

    input_suffixes: tuple[str, ...]
    frame_suffixes: tuple[str, ...] = ()
    channels: str
    dump_metric: str
    visualization_hook: str
    submission_hook: str | None = None
    legend: str | None = None

    @abstractmethod
    def predictor(
        self, cfg: Config, model: BaseModel, classes: Sequence[str]
    ) -> Predictor:
        """Return a predictor that preprocesses files as the config does its test set.

        Args:
            cfg (Config): From `load_config`.
            model (BaseModel): The network of the config, with weights.
            classes (Sequence[str]): The names of the classes.

        Raises:
            UserError: The config cannot predict single files.
        """

    @abstractmethod
    def example_inputs(self, cfg: Config) -> dict[str, Any]:
        """Return the network's arguments for a sample of the size of the test set."""

    @abstractmethod
    def logits(self, model: nn.Module, x: Tensor) -> Tensor:
        """Return logits of normalised inputs, (N, classes); segmentors: (…, H, W)."""

    @abstractmethod
    def output_names(self, path: Path) -> list[str]:
        """Return the names of the files that `infer` writes for an input."""

    @abstractmethod
    def infer(
        self, predictor: Predictor, path: str, outputs: Sequence[Path], top_k: int
    ) -> dict[str, Any]:
        """Predict a file, and write it with the prediction drawn into it.

        Args:
            predictor (Predictor): From `predictor`.
            path (str): The file.
            outputs (Sequence[Path]): The files to write, in the order of
                `output_names`; empty to write nothing.
            top_k (int): Number of classes to report.

        Returns:
            dict: `classes`, the best first: `label`, `score`. Of a video that was
            classified in clips that share nodes also `clips`: `frames` (the first,
            and the one after the last), `start` and `end` in seconds if the frame rate
            is known, and `classes`.

        Raises:
            UnreadableSampleError: The file cannot be read.
        """

    def draw_legend(self, predictor: Predictor) -> Image.Image:
        """Draw the legend of the pictures, whose file name is `legend`."""
        raise NotImplementedError

    def share_nodes(self, cfg: Config) -> None:
        """Make inference classify a video in clips whose units share their nodes.

        Raises:
            UserError: The inputs of the task are images, or the network takes no clips.
        """
        raise UserError(
            f'--global is for video; for {cfg.filename} set model.test_cfg=dict('
            "mode='global_slide', crop_size=(height, width), stride=(height, width))"
        )

    def set_views(self, cfg: Config, clips: int, crops: int) -> None:
        """Make a test average over clips of a video and crops of a clip.

        Raises:
            UserError: The inputs of the task are images.
        """
        raise UserError(f'--views is for video; for {cfg.filename} try --tta')


def topk_classes(
    scores: Sequence[float], classes: Sequence[str], k: int
) -> list[dict[str, Any]]:
    """Return the k classes with the highest scores, sorted: `label`, `score`."""
    best = np.argsort(-np.asarray(scores), kind='stable')[:k]
    return [dict(label=classes[i], score=round(float(scores[i]), 4)) for i in best]


def image_predictor(
    cfg: Config, model: BaseModel
) -> tuple[Callable[[str | np.ndarray], BaseDataElement], LoadImage | LoadBands]:
    """Return a function that predicts images, preprocessed like the test set.

    Args:
        cfg (Config): From `load_config`; the first transform of its test pipeline loads
            the image.
        model (BaseModel): The network, in evaluation mode, on its device.

    Returns:
        tuple: The function, which takes a path, or an image, uint8 (H, W, 3), RGB, and
        returns the prediction; and the transform that loads the image.
    """
    others = test_pipeline(cfg)[1:]
    load_image = Compose([image_loader(cfg)])
    loader = find_loader(load_image.transforms)
    preprocess = Compose([s for s in others if type_name(s) not in LABEL_LOADERS])

    def predict(image: str | np.ndarray) -> BaseDataElement:
        if isinstance(image, str):
            sample = load_image(dict(img_path=image))
        else:
            size = image.shape[:2]
            if isinstance(loader, LoadImage):  # of bands, the order is that of the file
                image = np.ascontiguousarray(image[..., ::-1])
            sample = dict(img=image, img_shape=size, ori_shape=size)
        return predict_sample(model, preprocess(sample))

    return predict, loader


def image_loader(cfg: Config) -> Mapping[str, Any]:
    """Return the transform that loads an image for the test, the first one.

    A LoadImageFromFile that loads the same values is replaced by LoadImage, which reads
    more formats and names the file in its errors.
    """
    first = test_pipeline(cfg)[0]
    in_color = first.get('color_type', 'color') == 'color'
    if type_name(first) == 'LoadImageFromFile' and in_color:
        return dict(type='LoadImage')
    return first


def num_input_channels(cfg: Config) -> int:
    """Return the number of channels of an image: 3, unless the config has others."""
    if loader := find_band_loader(cfg):
        return int(loader['bands'])
    mean = get_data_preprocessor(cfg).get('mean') or ()
    return max(3, len(mean))


def predict_sample(model: BaseModel, sample: dict[str, Any]) -> BaseDataElement:
    """Predict the output of a test pipeline for one input."""
    with torch.no_grad():
        (result,) = model.test_step(pseudo_collate([sample]))
    return result


def find_test_size(cfg: Config, keep_ratio: bool) -> tuple[int, int]:
    """Find the height and width of the output of a test pipeline.

    Args:
        cfg (Config): From `load_config`.
        keep_ratio (bool): The library's default for `keep_ratio` of `Resize`; if True,
            Resize sets no fixed size.

    Raises:
        UserError: No transform of the pipeline sets the size.
    """
    size: Any = None
    for step in test_pipeline(cfg):
        if type_name(step) == 'Resize' and not step.get('keep_ratio', keep_ratio):
            scale = step.get('scale')  # (width, height)
            size = None if scale is None else np.broadcast_to(scale, 2)[::-1]
        size = step.get('crop_size', size)
    if size is None:
        raise UserError(
            f'{cfg.filename}: no step of {first_dataset(cfg)[0]}.pipeline sets the '
            'size of the input. Add a crop to it, or a Resize with scale and without '
            'keep_ratio.'
        )
    height, width = np.broadcast_to(size, 2).tolist()
    return height, width
