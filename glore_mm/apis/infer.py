"""Run a checkpoint on files."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
from mmengine.config import Config
from mmengine.device import get_device

from glore_mm.apis.tasks import get_task
from glore_mm.engine.task import Predictor
from glore_mm.engine.weights import load_network
from glore_mm.utils.atomic_write import make_dir
from glore_mm.utils.errors import UnreadableSampleError, error_summary
from glore_mm.utils.paths import expand_inputs, output_files
from glore_mm.visualization.drawing import save_image


def load_predictor(cfg: Config, checkpoint: str) -> Predictor:
    """Build the network of a config for the prediction of files, on its device.

    Args:
        cfg (Config): From `load_config`.
        checkpoint (str): File with the weights.

    Returns:
        Predictor: The network, with its preprocessing and the names of its classes.

    Raises:
        UserError: The checkpoint is of another network, or the config cannot predict
            single files.
    """
    model, classes = load_network(cfg, checkpoint)
    return get_task(cfg).predictor(cfg, model.to(get_device()), classes)


def infer(
    cfg: Config,
    checkpoint: str,
    inputs: list[str],
    out_dir: str | None = None,
    top_k: int = 5,
    share_nodes: bool = False,
) -> Iterator[dict[str, Any]]:
    """Run a checkpoint on images or videos.

    Args:
        cfg (Config): From `load_config`.
        checkpoint (str): File with the weights.
        inputs (list[str]): Files, folders or glob patterns.
        out_dir (str, optional): Folder to write to. A classifier writes each input with
            its best classes drawn in. A segmentor writes for each image the classes as
            a palette PNG (`<name>.png`) and an overlay (`<name>_overlay.jpg`), for each
            video the classes of its frames (`<name>/000000.png`, …) and an overlay
            (`<name>_overlay.mp4`), and one legend (`legend.png`). Files of a folder
            keep the folders that they are in.
        top_k (int): How many classes to report.
        share_nodes (bool): Classify each video in successive clips that cover it, with
            nodes that all its clips share.

    Yields:
        dict: `input` and `classes`, the best first: `label` and `score`, which is the
        share of the pixels in segmentation; with `share_nodes` also `clips`, each with
        `frames` (the first, and the one after the last), `start` and `end` in seconds
        if the frame rate is known, and its `classes`. An input that cannot be read has
        `error` instead of `classes`.

    Raises:
        UserError: The checkpoint is of another network, an input matches no file, a
            result would replace a file of the inputs or of another result, or clips of
            the network cannot share nodes.
    """
    task = get_task(cfg)
    if share_nodes:
        task.share_nodes(cfg)
    files = expand_inputs(inputs, task.input_suffixes, task.frame_suffixes)
    outputs: dict[str, list[Path]] = {}
    if out_dir:
        outputs = output_files(files, out_dir, task.output_names, task.legend)
    predictor = load_predictor(cfg, checkpoint)
    if out_dir:
        make_dir(out_dir)
    legend = task.legend if out_dir else None
    for path in files:
        try:
            found = task.infer(predictor, path, outputs.get(path, ()), top_k)
        except UnreadableSampleError as error:
            yield dict(input=path, error=str(error))
            continue
        except cv2.error as error:  # of an image of extreme proportions
            yield dict(input=path, error=f'{path}: {error_summary(error)}')
            continue
        if out_dir and legend:  # there is something that it explains
            save_image(task.draw_legend(predictor), Path(out_dir, legend))
            legend = None
        yield dict(input=path, **found)
