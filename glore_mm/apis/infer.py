"""Run a checkpoint on files."""

from collections.abc import Iterator
from typing import Any

from mmengine.config import Config

from glore_mm.apis.tasks import get_task
from glore_mm.engine.weights import check_checkpoint
from glore_mm.utils.paths import expand_inputs


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
        out_dir (str, optional): Folder for the inputs with the results drawn in.
        top_k (int): How many classes to report.

    Yields:
        dict: `input` and `classes`, the best first: `label`, `score`.

    Raises:
        UserError: The checkpoint is of another network, or an input cannot be read.
    """
    task = get_task(cfg)
    check_checkpoint(cfg, checkpoint)
    files = expand_inputs(inputs, task.input_suffixes)
    yield from task.infer(cfg, checkpoint, files, out_dir, top_k)
