"""Record the projections B of units with forward hooks."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from glore_mm.block_info import eval_mode
from glore_mm.insertion import find_units
from glore_mm.unit import GloRe
from glore_mm.utils.errors import UserError

_Run: TypeAlias = tuple[np.ndarray, np.ndarray]  # B and ‖Y‖ / ‖X‖


@dataclass(frozen=True)
class ProjectionMaps:
    """The projections of a unit with K nodes for N samples.

    Attributes:
        maps (np.ndarray): B, float32 (N, K, *spatial): weight of each position for each
            node, in both directions of the projection; positive or negative.
        graph (np.ndarray): I − A as learned, float32 (K, K): weights from each node
            (column) to each node (row), including itself.
        added (np.ndarray): ‖Y‖ / ‖X‖ of each sample, float32 (N,): size of the unit's
            residual Y relative to its input. 0 for a newly initialised unit.
    """

    maps: np.ndarray
    graph: np.ndarray
    added: np.ndarray


def projection_maps(
    model: nn.Module, *args: Any, **inputs: Any
) -> dict[str, ProjectionMaps]:
    """Run a network once and return the projections of its units.

    Example::

        found = projection_maps(net, images)
        found['layer3.0.glore'].maps[0, 17]    # map of node 17 for the first image

    The network runs in evaluation mode; its mode is restored. If the network is not run
    by calling it, use `record_projections`.

    Args:
        model (nn.Module): A network with GloRe units.
        args: Positional arguments of the network.
        inputs: Keyword arguments of the network.

    Returns:
        dict[str, ProjectionMaps]: Projections by the path of the unit's module; '' if
        `model` itself is a unit.

    Raises:
        UserError: The network has no units, or none of them ran.
    """
    with record_projections(model) as found:
        model(*args, **inputs)
    return found


@contextmanager
def record_projections(model: nn.Module) -> Iterator[dict[str, ProjectionMaps]]:
    """Record the projections of units while the network runs in the block.

    The network is in evaluation mode within the block. On leaving, also by an
    exception, its mode is restored and the hooks are removed.

    Example::

        with record_projections(model) as found:
            model.test_step(data)             # a model of OpenMMLab

    Args:
        model (nn.Module): A network with GloRe units.

    Yields:
        dict[str, ProjectionMaps]: As from `projection_maps`; filled at the end of the
        block. A unit that runs several times has the samples of all its runs.

    Raises:
        UserError: The network has no units, none of them ran, or one of them ran on
            inputs of different sizes.
    """
    name = type(model).__name__
    units = find_units(model)
    if not units:
        raise UserError(
            f'{name} has no GloRe unit. Give a network with units: insert_glore adds '
            'them, or WithGloRe in a config.'
        )
    found: dict[str, ProjectionMaps] = {}
    runs: dict[str, list[_Run]] = {path: [] for path in units}
    with ExitStack() as stack:
        stack.enter_context(eval_mode(model))
        for path, unit in units.items():
            for hook in _hooks(unit, runs[path]):
                stack.callback(hook.remove)
        yield found
    for path, unit in units.items():
        if runs[path]:
            maps, added = zip(*runs[path], strict=True)
            sizes = {each.shape[2:] for each in maps}
            if len(sizes) > 1:
                raise UserError(
                    f'{path} ran on inputs of different sizes: '
                    f'{" and ".join(map(str, sizes))}. Run them one by one.'
                )
            found[path] = ProjectionMaps(
                np.concatenate(maps), _graph(unit), np.concatenate(added)
            )
    if not found:
        raise UserError(
            f'{name} ran none of its units ({", ".join(units)}). The units of a '
            'compiled network cannot be recorded: give the network before compilation.'
        )


def rank_nodes(maps: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rank nodes by how much variance of all maps their maps explain.

    The first node is the one whose map explains the largest share of the variance of
    all maps over the positions, by least squares. Each further node explains the
    largest share of the remaining variance. A score is the share that a node adds. So
    of two nodes with the same map only one ranks high, and the sum of the first scores
    is the share that these nodes explain together. (Greedy column subset selection:
    Farahat, Ghodsi, Kamel, ICDM 2011.)

    Args:
        maps (np.ndarray): Maps of one sample, (K, *spatial).

    Returns:
        tuple[np.ndarray, np.ndarray]: Nodes, int (K,), and their scores in that order,
        float64 (K,). The scores add up to 1, or are 0 if no map varies.
    """
    flat = maps.reshape(len(maps), -1).astype(np.float64)
    flat -= flat.mean(axis=1, keepdims=True)
    shared = flat @ flat.T
    total = np.trace(shared)
    order, scores = [], np.zeros(len(maps))
    left = np.ones(len(maps), bool)
    for rank in range(len(maps)):
        own = np.diag(shared)
        varies = left & (own > 1e-12 * total)
        explained = np.zeros(len(maps))
        explained[varies] = np.square(shared[:, varies]).sum(axis=0) / own[varies]
        best = int(np.argmax(np.where(left, explained, -1)))
        if varies[best]:
            scores[rank] = explained[best] / total
            shared = shared - np.outer(shared[:, best], shared[best]) / own[best]
        left[best] = False
        order.append(best)
    return np.array(order), scores


def node_usage(maps: np.ndarray) -> np.ndarray:
    """Measure how much a unit uses each node.

    Args:
        maps (np.ndarray): Maps, (N, K, *spatial).

    Returns:
        np.ndarray: Float64 (K,): share of each node in the sum of squares of all maps.
        The shares add up to 1, or are 0 if all maps are 0.
    """
    axes = (0, *range(2, maps.ndim))
    squares = np.square(maps, dtype=np.float64).sum(axis=axes)
    return squares / (squares.sum() or 1)


def _hooks(unit: GloRe, runs: list[_Run]) -> Iterator[RemovableHandle]:
    """Register hooks that append B and ‖Y‖ / ‖X‖ of each run."""
    projected = []

    def before(unit: GloRe, inputs: tuple[Tensor, ...]) -> None:
        projected.append(unit.project(*inputs))

    def after(unit: GloRe, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        (x,) = inputs
        sizes = [t.float().flatten(1).norm(dim=1) for t in (output - x, x)]
        added = sizes[0] / sizes[1].clamp(min=torch.finfo(torch.float32).tiny)
        runs.append((_array(projected.pop()), _array(added)))

    yield unit.register_forward_pre_hook(before)
    yield unit.register_forward_hook(after)


def _graph(unit: GloRe) -> np.ndarray:
    edges = unit.gcn.conv1
    edges = edges.conv if unit.pre_act else edges
    weight = edges.weight.flatten(1)
    return _array(torch.eye(len(weight), device=weight.device) + weight)


def _array(tensor: Tensor) -> np.ndarray:
    return tensor.detach().float().cpu().numpy()
