"""Find the task of a config: segmentation, classification or video."""

import importlib

from mmengine.config import Config

from glore_mm.config.load import find_task_name
from glore_mm.engine.task import Task


def get_task(cfg: Config) -> Task:
    """Return the task of a config; imports the task's library.

    Raises:
        UserError: The config belongs to no known task.
    """
    return importlib.import_module(f'glore_mm.{find_task_name(cfg)}.task').TASK
