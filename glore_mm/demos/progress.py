"""Progress of a demo's trainings."""

import time
from typing import Any

from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from mmengine.runner import Runner

_LINES = 10  # per training


@HOOKS.register_module()
class DemoProgressHook(Hook):
    """Prints iterations, loss and the time left, ten times in a training.

    Args:
        name (str): Name of the network.
        networks_left (int): Networks that are trained after this one, for as long.
    """

    def __init__(self, name: str, networks_left: int) -> None:
        self.name = name
        self.networks_left = networks_left

    def before_train(self, runner: Runner) -> None:
        """Start the clock."""
        self.start = time.monotonic()

    def after_train_iter(self, runner: Runner, outputs: Any, **_: Any) -> None:
        """Print a line, if it is time."""
        done, total = runner.iter + 1, runner.max_iters
        if done * _LINES // total == (done - 1) * _LINES // total:
            return
        left = total - done + self.networks_left * total
        seconds = round((time.monotonic() - self.start) / done * left)
        loss = outputs['loss'].item()
        print(
            f'{self.name}: iteration {done} of {total}, loss {loss:.3f}, '
            f'{seconds // 60}:{seconds % 60:02} left',
            flush=True,
        )
