"""What a task adds to the tools: segmentation, classification, video."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.config import Config
from torch import Tensor, nn

from glore_mm.utils.errors import UserError
from glore_mm.utils.paths import output_files


@dataclass(frozen=True)
class Predictor:
    """A trained network that predicts single inputs, the same for every task.

    Attributes:
        model (nn.Module): The network, in evaluation mode, on its device.
        predict (Callable[[str | np.ndarray], Any]): From the path of an input to the
            prediction; networks for images also take an image, uint8 (H, W, 3), RGB.
        topk (Callable[[Any, int], list[dict]]): From a prediction and k to the k best
            classes, the best first: `label`, `score`.
        takes_videos (bool): Whether an input is a whole video, not an image.
    """

    model: nn.Module
    predict: Callable[[str | np.ndarray], Any]
    topk: Callable[[Any, int], list[dict[str, Any]]]
    takes_videos: bool = False


class Task(ABC):
    """One of the tasks; `glore_mm.<task>.task.TASK` is its instance.

    Attributes:
        input_suffixes (tuple[str, ...]): Endings of the files that `infer` reads, lower
            case.
        channels (str): Order of the channels before the data preprocessor, 'RGB' or
            'BGR'.
        dump_metric (str): Type of the metric that writes `--dump`.
        visualization_hook (str): Type of the hook that writes `--show-dir`.
        submission_metric (str, optional): Type of the metric that writes
            `--submission-dir`; None where no server takes predictions.
    """

    input_suffixes: tuple[str, ...]
    channels: str
    dump_metric: str
    visualization_hook: str
    submission_metric: str | None = None

    @abstractmethod
    def predictor(self, cfg: Config, checkpoint: str) -> Predictor:
        """The network of a config with the weights of a checkpoint.

        Raises:
            UserError: The config cannot predict single files, or neither the checkpoint
                nor the config names the classes.
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

    def draw(self, path: str, classes: list[dict[str, Any]], output: Path) -> None:
        """Write an input with its predicted classes drawn in."""
        raise NotImplementedError

    def infer(
        self,
        cfg: Config,
        checkpoint: str,
        inputs: list[str],
        out_dir: str | None = None,
        top_k: int = 5,
    ) -> Iterator[dict[str, Any]]:
        """Run a checkpoint on files.

        Args:
            cfg (Config): From `load_config`.
            checkpoint (str): File with the weights.
            inputs (list[str]): Paths.
            out_dir (str, optional): Folder for the inputs with the results drawn in,
                named by `output_names`.
            top_k (int): How many classes to report.

        Yields:
            dict: `input` and `classes`, the best first: `label`, `score`.

        Raises:
            UserError: An input cannot be read, or a result would replace a file of the
                inputs or of another result.
        """
        outputs = output_files(inputs, out_dir, self.output_names) if out_dir else {}
        predictor = self.predictor(cfg, checkpoint)
        for path in inputs:
            classes = predictor.topk(predictor.predict(path), top_k)
            if outputs:
                self.draw(path, classes, outputs[path][0])
            yield dict(input=path, classes=classes)

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


def find_test_size(cfg: Config, keep_ratio: bool) -> tuple[int, int]:
    """Height and width of what a test pipeline gives the network.

    Args:
        cfg (Config): From `load_config`.
        keep_ratio (bool): The library's default for `Resize`, which then gives no size.

    Raises:
        UserError: No step of the pipeline gives one.
    """
    size: Any = None
    for step in cfg.test_dataloader.dataset.pipeline:
        if step['type'] == 'Resize' and not step.get('keep_ratio', keep_ratio):
            size = step['scale'][::-1]
        size = step.get('crop_size', size)
    if size is None:
        raise UserError(
            f'{cfg.filename}: no step of test_dataloader.dataset.pipeline gives the '
            'size of the input. Add a crop to it, or a Resize without keep_ratio.'
        )
    height, width = np.broadcast_to(size, 2).tolist()
    return height, width
