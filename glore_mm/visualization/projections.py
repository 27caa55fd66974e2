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
        maps (np.ndarray): B, float32 (N, K, *spatial): how much each place gives to
            each node, and takes from it; of either sign.
        graph (np.ndarray): I − A as learned, float32 (K, K): how much a node (row) gets
            from each node (column), itself included.
        added (np.ndarray): ‖Y‖ / ‖X‖ of each sample, float32 (N,): what the unit adds
            to its input. 0 for a fresh unit.
    """

    maps: np.ndarray
    graph: np.ndarray
    added: np.ndarray


def projection_maps(
    model: nn.Module, *args: Any, **inputs: Any
) -> dict[str, ProjectionMaps]:
    """Run a network once and return what each of its units projected.

    Example::

        found = projection_maps(net, images)
        found['layer3.0.glore'].maps[0, 17]    # of node 17 over the first image

    The network is run in evaluation and left as it was. For another way to run it than
    to call it, see `record_projections`.

    Args:
        model (nn.Module): A network with units, whoever put them there.
        args: Its arguments.
        inputs: Those that are given by name.

    Returns:
        dict[str, ProjectionMaps]: By the path of the unit's module; '' where `model` is
        a unit itself.

    Raises:
        UserError: There are no units in it, or none of them ran.
    """
    with record_projections(model) as found:
        model(*args, **inputs)
    return found


@contextmanager
def record_projections(model: nn.Module) -> Iterator[dict[str, ProjectionMaps]]:
    """Note what units project while the network runs; it evaluates meanwhile.

    Example::

        with record_projections(model) as found:
            model.test_step(data)             # of OpenMMLab's models

    Args:
        model (nn.Module): A network with units; it is left as it was, also by an error.

    Yields:
        dict[str, ProjectionMaps]: As `projection_maps`, filled on leaving. A unit that
        ran several times has the samples of all its runs.

    Raises:
        UserError: There are no units in it, none of them ran, or one ran several times
            on inputs of different sizes.
    """
    name = type(model).__name__
    units = find_units(model)
    if not units:
        raise UserError(
            f'{name} holds no GloRe unit. Give a network with units: insert_glore puts '
            'them in, or WithGloRe in a config.'
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
            f'{name} ran none of its units ({", ".join(units)}). Those of '
            'a compiled network cannot be recorded: give it as it was before.'
        )


def rank_nodes(maps: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rank nodes by how much their maps explain of all maps.

    A score is a share of the variance of all maps over the positions. The first node is
    the one whose map explains most of it, by least squares; each next one explains most
    of what is left. So two nodes with the same map do not both come first, and the
    scores of the first few add up to what they explain together. (Greedy column subset
    selection: Farahat, Ghodsi, Kamel, ICDM 2011.)

    Args:
        maps (np.ndarray): Of one sample, (K, *spatial).

    Returns:
        tuple[np.ndarray, np.ndarray]: Nodes, int (K,), and their scores in that order,
        float64 (K,): they add up to 1, or are 0 where no map varies.
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
    """How much a unit uses each node.

    Args:
        maps (np.ndarray): (N, K, *spatial).

    Returns:
        np.ndarray: Float64 (K,): the node's share of the sum of squares of all maps; it
        adds up to 1, or is 0 where all maps are 0.
    """
    axes = (0, *range(2, maps.ndim))
    squares = np.square(maps, dtype=np.float64).sum(axis=axes)
    return squares / (squares.sum() or 1)


def _hooks(unit: GloRe, runs: list[_Run]) -> Iterator[RemovableHandle]:
    """Hooks that append B and ‖Y‖ / ‖X‖ of each run."""
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
