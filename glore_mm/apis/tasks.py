"""Find the task of a config: segmentation, classification or video."""

import importlib
from typing import Any

from mmengine.config import Config

from glore_mm.config.load import find_task_name
from glore_mm.engine.task import Task


def get_task(cfg: Config) -> Task:
    """Return the task of a config; imports the task's library.

    Raises:
        UserError: The config belongs to no known task.
    """
    return importlib.import_module(f'glore_mm.{find_task_name(cfg)}.task').TASK


def example_inputs(cfg: Config) -> dict[str, Any]:
    """Return the network's arguments for one sample of the config's test size.

    Raises:
        UserError: The config has no test set, whose pipeline specifies the size.
    """
    return get_task(cfg).example_inputs(cfg)
