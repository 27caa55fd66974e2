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
    """Parameters and operations of a network and of its units.

    Attributes:
        parameters (int): Parameters of the whole network.
        macs (int): Multiply-accumulate operations of all convolutions and matrix
            products, for one input.
        unit_parameters (int): Parameters of the units.
        unit_macs (int): Multiply-accumulate operations of the units.
    """

    parameters: int
    macs: int
    unit_parameters: int
    unit_macs: int


def count_flops(model: nn.Module, *args: Any, **inputs: Any) -> Cost:
    """Count parameters and operations of a network, with torch's FLOP counter.

    Args:
        model (nn.Module): The network. It is run once in evaluation mode; its mode is
            restored.
        args: Positional arguments of the network.
        inputs: Keyword arguments of the network.

    Returns:
        Cost: Parameters and multiply-accumulate operations.
    """
    units = find_units(model)
    in_place = {torch.ops.aten.baddbmm_: _baddbmm_flop}  # not counted by torch
    counter = FlopCounterMode(display=False, custom_mapping=in_place)
    with eval_mode(model), counter:
        model(*args, **inputs)
    counts = counter.get_flop_counts()
    root = type(model).__name__
    # the name is empty where the model itself is a unit
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
    """Return the floating-point operations of (N, P, Q) × (N, Q, L)."""
    return 2 * a.numel() * b[-1]
