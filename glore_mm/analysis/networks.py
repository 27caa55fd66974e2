"""Looking into a network without changing it."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

from glore_mm.unit import GloRe


def units_of(model: nn.Module) -> dict[str, GloRe]:
    """The units in a network by the path of their module, whoever put them there."""
    return {path: m for path, m in model.named_modules() if isinstance(m, GloRe)}


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Evaluation without gradients; afterwards every module is in the mode it was in.

    Args:
        model (nn.Module): The network; some of its modules may train while others do
            not.
    """
    modes = {module: module.training for module in model.modules()}
    try:
        with torch.no_grad():
            model.eval()
            yield
    finally:
        for module, training in modes.items():
            module.training = training
