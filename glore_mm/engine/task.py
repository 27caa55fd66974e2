"""What a task adds to the tools: segmentation, classification, video."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
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

from glore_mm.config.datasets import first_dataset, test_pipeline, type_name
from glore_mm.utils.errors import UserError

#: Transforms that read labels, which files to predict have not.
LABEL_LOADERS = ('LoadAnnotations', 'LoadSegLabels')


@dataclass(frozen=True)
class Predictor:
    """A trained network that predicts single inputs, the same for every task.

    Attributes:
        model (nn.Module): The network, in evaluation mode, on its device.
        classes (Sequence[str]): Their names.
        predict (Callable[[str | np.ndarray], Any]): From the path of an input to the
            prediction; networks for images also take an image, uint8 (H, W, 3), RGB.
        topk (Callable[[Any, int], list[dict]]): From a prediction and k to the k best
            classes, the best first: `label`, `score`.
        takes_videos (bool): Whether an input is a whole video, not an image.
        palette (Sequence[Sequence[int]]): Of a segmentor, RGB of every class, 0 to 255.
    """

    model: nn.Module
    classes: Sequence[str]
    predict: Callable[[Any], Any]
    topk: Callable[[Any, int], list[dict[str, Any]]]
    takes_videos: bool = False
    palette: Sequence[Sequence[int]] = ()


class Task(ABC):
    """One of the tasks; `glore_mm.<task>.task.TASK` is its instance.

    Attributes:
        input_suffixes (tuple[str, ...]): Endings of the files that `infer` reads, lower
            case.
        frame_suffixes (tuple[str, ...]): Endings of images whose folders are inputs,
            too: the frames of a video.
        channels (str): Order of the channels before the data preprocessor, 'RGB' or
            'BGR'.
        dump_metric (str): Type of the metric that writes `--dump`.
        visualization_hook (str): Type of the hook that writes `--show-dir`.
        submission_hook (str, optional): Type of the hook that writes
            `--submission-dir`; None where no server takes predictions.
        legend (str, optional): Name of the picture that explains those that `infer`
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
        """A network that predicts files as the config's test set is preprocessed.

        Args:
            cfg (Config): From `load_config`.
            model (BaseModel): Its network, with weights.
            classes (Sequence[str]): Their names.

        Raises:
            UserError: The config cannot predict single files.
        """

    @abstractmethod
    def example_inputs(self, cfg: Config) -> dict[str, Any]:
        """One sample of the size that a config tests on, as the network's arguments."""

    @abstractmethod
    def logits(self, model: nn.Module, x: Tensor) -> Tensor:
        """Logits of normalised inputs: (N, classes), of a segmentor (…, H, W)."""

    @abstractmethod
    def output_names(self, path: Path) -> list[str]:
        """Names of the files that `infer` writes for an input."""

    @abstractmethod
    def infer(
        self, predictor: Predictor, path: str, outputs: Sequence[Path], top_k: int
    ) -> list[dict[str, Any]]:
        """Predict a file, and write it with the result drawn in.

        Args:
            predictor (Predictor): From `predictor`.
            path (str): The file.
            outputs (Sequence[Path]): Where to write, in the order of `output_names`;
                empty where nothing is written.
            top_k (int): How many classes to report.

        Returns:
            list[dict]: The classes, the best first: `label`, `score`.

        Raises:
            UnreadableSampleError: The file cannot be read.
        """

    def draw_legend(self, predictor: Predictor) -> Image.Image:
        """The picture that explains the results of all inputs, named by `legend`."""
        raise NotImplementedError

    def set_views(self, cfg: Config, clips: int, crops: int) -> None:
        """Let a test average over clips of a video and crops of a clip.

        Raises:
            UserError: The task is of images, which have no clips.
        """
        raise UserError(f'--views is for video; for {cfg.filename} try --tta')


def topk_classes(
    scores: Sequence[float], classes: Sequence[str], k: int
) -> list[dict[str, Any]]:
    """The classes with the highest scores, the highest first: `label`, `score`."""
    best = np.argsort(-np.asarray(scores), kind='stable')[:k]
    return [dict(label=classes[i], score=round(float(scores[i]), 4)) for i in best]


def image_predictor(
    cfg: Config, model: BaseModel
) -> Callable[[str | np.ndarray], BaseDataElement]:
    """Predict images as the test set preprocesses its own.

    Args:
        cfg (Config): From `load_config`; the first step of its test pipeline loads the
            image.
        model (BaseModel): The network, in evaluation mode, on its device.

    Returns:
        Callable: From a path, or an image, uint8 (H, W, 3), RGB, to the prediction.
    """
    first, *others = test_pipeline(cfg)
    # ours reads more kinds of files, and names those that are damaged
    load = dict(type='LoadImage') if type_name(first) == 'LoadImageFromFile' else first
    load_image = Compose([load])
    preprocess = Compose([s for s in others if type_name(s) not in LABEL_LOADERS])

    def predict(image: str | np.ndarray) -> BaseDataElement:
        if isinstance(image, str):
            sample = load_image(dict(img_path=image))
        else:
            size = image.shape[:2]
            image = np.ascontiguousarray(image[..., ::-1])
            sample = dict(img=image, img_shape=size, ori_shape=size)
        return predict_sample(model, preprocess(sample))

    return predict


def predict_sample(model: BaseModel, sample: dict[str, Any]) -> BaseDataElement:
    """Predict what a test pipeline has made of one input."""
    with torch.no_grad():
        (result,) = model.test_step(pseudo_collate([sample]))
    return result


def find_test_size(cfg: Config, keep_ratio: bool) -> tuple[int, int]:
    """Height and width of what a test pipeline gives the network.

    Args:
        cfg (Config): From `load_config`.
        keep_ratio (bool): The library's default for `Resize`, which then gives no size.

    Raises:
        UserError: No step of the pipeline gives one.
    """
    size: Any = None
    for step in test_pipeline(cfg):
        if type_name(step) == 'Resize' and not step.get('keep_ratio', keep_ratio):
            size = step['scale'][::-1]
        size = step.get('crop_size', size)
    if size is None:
        raise UserError(
            f'{cfg.filename}: no step of {first_dataset(cfg)[0]}.pipeline gives the '
            'size of the input. Add a crop to it, or a Resize without keep_ratio.'
        )
    height, width = np.broadcast_to(size, 2).tolist()
    return height, width
