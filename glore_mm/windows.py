"""Networks on windows of an input that is too large for one pass.

The nodes of a unit are sums over positions, so they can be gathered window by window.
`forward_windows` runs a network so that each unit has the nodes of the whole input,
while the layers between the units see one window at a time. The network runs one time
for each unit, up to that unit, and a last time to its end.
"""

import functools
import math
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple, TypeAlias, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves, tree_map

from glore_mm.insertion import find_token_units, find_units, has_other_hooks
from glore_mm.unit import GloRe, NodeSums

Output = TypeVar('Output')
#: The place of a call in the tree of the calls of modules in a run.
_Call: TypeAlias = tuple[int, ...]
CACHES = ('none', 'memory', 'disk')


class WindowGrid:
    """Windows of one size that cover an array, placed as by mmsegmentation.

    Args:
        size (Sequence[int]): The size of the array along each dimension.
        window (Sequence[int]): The size of the windows; smaller where the array is.
        stride (Sequence[int]): The distance between neighbours. The last window of a
            row is moved back into the array, and overlaps its neighbour more.

    Raises:
        ValueError: The windows leave gaps, or a number is not at least 1.
    """

    def __init__(
        self, size: Sequence[int], window: Sequence[int], stride: Sequence[int]
    ) -> None:
        if not len(size) == len(window) == len(stride) or any(
            not 1 <= step <= length for step, length in zip(stride, window, strict=True)
        ):
            raise ValueError(
                'WindowGrid: stride must be from 1 to the size of the windows along '
                f'each of {len(size)} dimensions, got stride={tuple(stride)} and '
                f'window={tuple(window)}'
            )
        spans = list(map(_spans, size, window, stride))
        self._windows = list(product(*spans))
        self._weights = list(product(*map(_weights, size, spans)))

    def __len__(self) -> int:
        """Return the number of windows."""
        return len(self._windows)

    def __getitem__(self, index: int) -> tuple[slice, ...]:
        """Return the slices of a window; those of the last dimension change first."""
        return self._windows[index]

    def __iter__(self) -> Iterator[tuple[slice, ...]]:
        """Return the windows in their order."""
        return iter(self._windows)

    def weight(self, index: int, size: Sequence[int]) -> Tensor:
        """Return with which weight each position of a window counts.

        The weights of an element of the array add up to 1 over the windows that have
        it.

        Args:
            index (int): The index of the window.
            size (Sequence[int]): The size of a map of the window; a position of a map
                has the mean weight of its elements. In two dimensions also the number
                of tokens, which have the proportions of the window.

        Returns:
            Tensor: Of this size, float32.

        Raises:
            ValueError: A number of tokens does not fit the window.
        """
        if len(size) == 1 < len(self._weights[index]):
            if all((weights == 1).all() for weights in self._weights[index]):
                return torch.ones(tuple(size))  # no other window has these elements
            extent = [span.stop - span.start for span in self._windows[index]]
            return self.weight(index, _token_grid(size[0], extent)).flatten()
        out = torch.ones(())
        for weights, length in zip(self._weights[index], size, strict=True):
            pooled = F.adaptive_avg_pool1d(weights[None], length)[0]
            out = out[..., None] * pooled
        return out


def forward_windows(
    model: nn.Module,
    run: Callable[[int], Output],
    num_windows: int,
    weight: Callable[[int, Sequence[int]], Tensor] | None = None,
    cache: str = 'none',
) -> Iterator[Output]:
    """Run a network on windows of one input; its units reason over the whole of it.

    The result is that of the network in which each unit gets the concatenation of its
    inputs from all windows. Other layers still see the borders of a window.

    Args:
        model (nn.Module): A network with units, in evaluation mode.
        run (Callable[[int], Any]): Runs the network on a window, given its index. It is
            called several times for each window and must do the same each time.
        num_windows (int): The number of windows.
        weight (Callable[[int, Sequence[int]], Tensor], optional): Returns the weights
            of the positions of a map, given the index of the window and the size of the
            map, or the number of tokens: see `GloRe.gather` and `WindowGrid.weight`.
            Default: all 1.
        cache (str): Where the maps of each window are kept between its runs: 'memory',
            'disk' (a temporary folder), or 'none': they are computed again. Default:
            'none'.

    Yields:
        Any: `run(index)` of each window, with the nodes of the whole input.

    Raises:
        ValueError: The network has no unit, a unit cannot be run in windows, or `cache`
            is unknown.
    """
    if cache not in CACHES:
        raise ValueError(f'cache must be one of {CACHES}, got {cache!r}')
    num_units = len(find_units(model))
    if num_units == 0:
        raise ValueError(
            f'{type(model).__name__} has no GloRe unit: its windows share no nodes'
        )
    modules = list(dict.fromkeys(_modules_around_units(model)))  # each once
    hooked = set(filter(has_other_hooks, modules))
    network = _Network(
        modules,
        must_run={m for m in modules if hooked and hooked & {*m.modules()} - {m}},
        token_units=find_token_units(model),
    )
    shared: dict[_Call, NodeSums] = {}
    with TemporaryDirectory() as folder:
        store: Any = _DiskStore(Path(folder)) if cache == 'disk' else {}
        while True:
            total: Any = 0
            first: tuple[_Call, GloRe] | None = None
            for index in range(num_windows):
                attempt = _Run(
                    network,
                    shared,
                    functools.partial(weight, index) if weight else None,
                    store.get(index, {}),
                    keeps_outputs=cache != 'none' and len(shared) < num_units,
                )
                reached = None
                try:
                    with (
                        torch.inference_mode(False),
                        torch.no_grad(),
                        attempt.patched(),
                    ):
                        output = run(index)
                except _Gathered as stop:
                    reached, total = (stop.call, stop.unit), total + stop.sums
                if index == 0:
                    first = reached
                elif reached != first:
                    raise RuntimeError(
                        f'{type(model).__name__} does not run through the same units '
                        f'in window {index} as in window 0'
                    )
                if reached is None:
                    yield output
                elif cache != 'none':
                    store[index] = attempt.finished
            if first is None:
                return
            shared[first[0]] = total


@dataclass(eq=False)
class _Gathered(Exception):  # noqa: N818, ends a run
    """A unit has gathered its nodes from a window; the run ends there."""

    call: _Call
    unit: GloRe
    sums: NodeSums


class _Network(NamedTuple):
    """What the runs on all windows need to know of the network."""

    modules: list[nn.Module]  # without the layers in units
    must_run: set[nn.Module]  # modules around hooks, which may collect features
    token_units: set[nn.Module]


@dataclass
class _Run:
    """One run on a window: from the outputs of an earlier one, up to the next unit."""

    network: _Network
    shared: dict[_Call, NodeSums]  # of the units that have seen all windows
    weight: Callable[[Sequence[int]], Tensor] | None  # of the positions of a map
    before: dict[_Call, Any]  # outputs of modules that do not run again
    keeps_outputs: bool  # collect the outputs of the modules in `finished`
    finished: dict[_Call, Any] = field(default_factory=dict)
    path: list[int] = field(default_factory=lambda: [0])

    @contextmanager
    def patched(self) -> Iterator[None]:
        """Route the calls of all modules through `_call`, without those in units."""
        modules = self.network.modules
        originals = [vars(module).get('forward') for module in modules]
        for module in modules:
            module.forward = functools.partial(self._call, module, module.forward)
        try:
            yield
        finally:
            for module, original in zip(modules, originals, strict=True):
                if original is None:
                    del module.forward
                else:
                    module.forward = original

    def _call(self, module: nn.Module, forward: Any, *args: Any, **kwargs: Any) -> Any:
        self.path[-1] += 1
        call = tuple(self.path)
        if call in self.before:
            kept = self.before[call]
            output = tree_map(_copy, kept)  # a later layer may change it in place
            self.finished[call] = kept
            return output
        versions = _versions(args, kwargs)
        self.path.append(0)
        if isinstance(module, GloRe):
            output = self._run_unit(module, call, *args)
        else:
            output = forward(*args, **kwargs)
        self.path.pop()
        # a module that changes its input in place must run again; those in it need not
        if (
            self.keeps_outputs
            and module not in self.network.must_run
            and _versions(args, kwargs) == versions
        ):
            for inner in [c for c in self.finished if c[: len(call)] == call]:
                del self.finished[inner]
            self.finished[call] = tree_map(_copy, output)
        return output

    def _run_unit(self, unit: GloRe, call: _Call, x: Tensor) -> Tensor:
        if call in self.shared:
            return unit.distribute(x, self.shared[call])
        size = tuple(x.shape[2:])
        # a unit gets tokens of unknown shape as a column or a square
        is_column, is_square = math.prod(size[1:]) == 1, len(set(size)) == 1
        if unit in self.network.token_units and (is_column or is_square):
            size = (math.prod(size),)
        weight = self.weight(size) if self.weight else None
        if weight is not None and size != tuple(x.shape[2:]):
            weight = weight.reshape(x.shape[2:])
        raise _Gathered(call, unit, unit.gather(x, weight))


class _DiskStore:
    """Outputs of the modules by window, in a folder; maps are read when used."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def get(self, index: int, default: dict[_Call, Any]) -> dict[_Call, Any]:
        path = self._path(index)
        if not path.exists():
            return default
        found: dict[_Call, Any] = torch.load(path, mmap=True, weights_only=False)
        return found

    def __setitem__(self, index: int, outputs: dict[_Call, Any]) -> None:
        draft = self._folder / 'draft'
        torch.save(outputs, draft)
        os.replace(draft, self._path(index))  # outputs may be mapped from the old file

    def _path(self, index: int) -> Path:
        return self._folder / f'{index}.pt'


def _modules_around_units(module: nn.Module) -> Iterator[nn.Module]:
    """Yield a module and those in it, but not the layers of units."""
    yield module
    for child in () if isinstance(module, GloRe) else module.children():
        yield from _modules_around_units(child)


def _versions(*values: Any) -> list[int]:
    """Return how often each tensor was changed in place."""
    tensors = (v for v in tree_leaves(values) if isinstance(v, Tensor))
    return [tensor._version for tensor in tensors if not tensor.is_inference()]


def _copy(value: Any) -> Any:
    return value.clone() if isinstance(value, Tensor) else value


def _spans(size: int, window: int, stride: int) -> list[slice]:
    """Return the windows along one dimension."""
    window = min(window, size)
    starts = range(0, max(size - window + stride - 1, 0) // stride * stride + 1, stride)
    return [slice(s, s + window) for s in (min(s, size - window) for s in starts)]


def _token_grid(count: int, extent: Sequence[int]) -> tuple[int, int]:
    """Return rows and columns of tokens that are nearest to a window's proportions."""
    height, width = extent
    grids = [(n, count // n) for n in range(1, count + 1) if count % n == 0]
    stretch = {grid: grid[0] * width / (grid[1] * height) for grid in grids}
    best = min(grids, key=lambda grid: abs(math.log(stretch[grid])))
    if not 2 / 3 < stretch[best] < 3 / 2:
        raise ValueError(
            f'{count} tokens have no grid with the proportions of a window of {height}×'
            f'{width}; choose windows with sides that are multiples of the patches'
        )
    return best


def _weights(size: int, spans: Sequence[slice]) -> list[Tensor]:
    """Return for each window of a dimension: 1 / number of windows, per element."""
    counts = torch.zeros(size)
    for span in spans:
        counts[span] += 1
    return [1 / counts[span] for span in spans]
