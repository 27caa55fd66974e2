"""Run a checkpoint on files."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.device import get_device

from glore_mm.apis.tasks import get_task
from glore_mm.engine.weights import load_network
from glore_mm.utils.atomic_write import make_dir
from glore_mm.utils.errors import UnreadableSampleError
from glore_mm.utils.paths import expand_inputs, output_files
from glore_mm.visualization.drawing import save_image


def infer(
    cfg: Config,
    checkpoint: str,
    inputs: list[str],
    out_dir: str | None = None,
    top_k: int = 5,
) -> Iterator[dict[str, Any]]:
    """Run a checkpoint on images or videos.

    Args:
        cfg (Config): From `load_config`.
        checkpoint (str): File with the weights.
        inputs (list[str]): Files, folders or glob patterns.
        out_dir (str, optional): Folder to write to. Of a classifier each input with its
            best classes drawn in. Of a segmentor, for each image the classes as a
            palette PNG (`<name>.png`) and an overlay (`<name>_overlay.jpg`); for each
            video those of its frames (`<name>/000000.png`, …) and an overlay
            (`<name>_overlay.mp4`); for all a legend (`legend.png`). Files of a folder
            keep the folders that they are in.
        top_k (int): How many classes to report.

    Yields:
        dict: `input` and `classes`, the best first: `label`, `score`, which is the
        share of the pixels in segmentation. Of an input that cannot be read, `error`
        in the place of `classes`.

    Raises:
        UserError: The checkpoint is of another network, an input matches no file, or a
            result would replace a file of the inputs or of another result.
    """
    task = get_task(cfg)
    files = expand_inputs(inputs, task.input_suffixes, task.frame_suffixes)
    outputs: dict[str, list[Path]] = {}
    if out_dir:
        outputs = output_files(files, out_dir, task.output_names, task.legend)
    model, classes = load_network(cfg, checkpoint)
    predictor = task.predictor(cfg, model.to(get_device()), classes)
    if out_dir:
        make_dir(out_dir)
    legend = task.legend if out_dir else None
    for path in files:
        try:
            found = task.infer(predictor, path, outputs.get(path, ()), top_k)
        except UnreadableSampleError as error:
            yield dict(input=path, error=str(error))
            continue
        if out_dir and legend:  # there is something that it explains
            save_image(task.draw_legend(predictor), Path(out_dir, legend))
            legend = None
        yield dict(input=path, classes=found)
