"""Parameters and multiply-accumulate operations of a network."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from glore_mm.block_info import eval_mode
from glore_mm.insertion import find_units


@dataclass
class Cost:
    """What a network costs, and its units' share of it.

    Attributes:
        parameters (int): Of the whole network.
        macs (int): Multiply-accumulate operations of its convolutions and matrix
            products, for one input.
        unit_parameters (int): Of the units.
        unit_macs (int): Of the units.
    """

    parameters: int
    macs: int
    unit_parameters: int
    unit_macs: int


def count_flops(model: nn.Module, *args: Any, **inputs: Any) -> Cost:
    """Count what a network costs in evaluation, with torch's own counter.

    Args:
        model (nn.Module): The network; it is run once and left as it was.
        args: Its arguments.
        inputs: Those that are given by name.

    Returns:
        Cost: In parameters and MACs.
    """
    units = find_units(model)
    in_place = {torch.ops.aten.baddbmm_: _baddbmm_flop}  # which torch does not count
    counter = FlopCounterMode(display=False, custom_mapping=in_place)
    with eval_mode(model), counter:
        model(*args, **inputs)
    counts = counter.get_flop_counts()
    root = type(model).__name__
    # a unit by itself is the root, and its name in it is empty
    paths = [f'{root}.{name}' if name else root for name in units]
    in_units = sum(sum(counts[path].values()) for path in paths)
    return Cost(
        parameters=sum(p.numel() for p in model.parameters()),
        macs=counter.get_total_flops() // 2,  # a MAC is two floating-point operations
        unit_parameters=sum(
            p.numel() for unit in units.values() for p in unit.parameters()
        ),
        unit_macs=in_units // 2,
    )


def _baddbmm_flop(_: torch.Size, a: torch.Size, b: torch.Size, **__: Any) -> int:
    """Of (N, P, Q) × (N, Q, L), by their shapes."""
    return 2 * a.numel() * b[-1]
