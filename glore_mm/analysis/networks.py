"""Looking into a network without changing it."""

from torch import nn

from glore_mm.block_info import evaluating
from glore_mm.unit import GloRe

__all__ = ['evaluating', 'units_of']


def units_of(model: nn.Module) -> dict[str, GloRe]:
    """The units in a network by the path of their module, whoever put them there."""
    return {path: m for path, m in model.named_modules() if isinstance(m, GloRe)}
