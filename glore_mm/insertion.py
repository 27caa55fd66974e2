"""Insert units after blocks of any network.

A unit becomes the child `glore` of the block that it follows, and a forward hook of the
block applies it: `layer3.2.glore` works on the output of `layer3.2`. The paths of the
blocks do not change, so neither do the keys of a checkpoint.
"""

import math
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.fx import Proxy, wrap

from glore_mm.block_info import (
    LAYOUTS,
    check_batch_first,
    find_channels,
    find_channels_last,
    find_dim,
    find_prefix_tokens,
)
from glore_mm.placement import UNIT_NAMES, find_places
from glore_mm.unit import GloRe, GloRe1d, GloRe2d, GloRe3d

_UNITS = {1: GloRe1d, 2: GloRe2d, 3: GloRe3d}


def insert_glore(
    model: nn.Module,
    placement: Mapping[str, int | Sequence[int | str]] | Sequence[str],
    unit: Mapping[str, Any] | None = None,
    layout: str | None = None,
    num_prefix_tokens: int | None = None,
    build: Callable[..., nn.Module] | None = None,
) -> nn.Module:
    """Insert units after blocks of a network, in place.

    A new unit is the identity, so the output of the network does not change.
    `remove_glore` removes the units.

    Args:
        model (nn.Module): A network: of convolutions, with maps (N, C, *spatial), or a
            transformer, with tokens (N, L, C) or maps (N, *spatial, C).
        placement: Where the units go, as a mapping or a sequence.

            - A mapping from the path of a container of blocks, such as 'layer3' or
              'encoder.layers', to the indices of the blocks that get a unit, such as
              (0, 2), or to a number of units, which are spread over the blocks. Of n
              units in b blocks, unit i follows block floor(i (b + 1) / (n + 1)), both
              counted from 1: three units in the six blocks of a ResNet-50's layer3
              follow the first, third and fifth block. 'input' in place of an index is
              the input of the first block: dict(layer1=('input',)) inserts a unit after
              the stem. The last part of a path may be a pattern, as for file names, to
              select blocks of a container: 'features.conv4_*'.
            - A sequence of paths of modules: ['blocks.5', 'blocks.8'].
        unit (Mapping, optional): Arguments of the units. Without `in_channels`, it is
            determined from the block.
        layout (str, optional): Layout of the outputs of the blocks: NCL, NLC, NCHW,
            NHWC, NCTHW or NTHWC. Default: channels last if a block consists of linear
            layers, without a convolution over the dimensions of its map.
        num_prefix_tokens (int, optional): Number of class, register and distillation
            tokens at the start of a sequence; the unit leaves them out. Default: read
            from the network.
        build (Callable, optional): Builds another block instead of a unit. Called with
            the number of spatial dimensions and, as keywords, `in_channels` and the
            arguments in `unit`.

    Returns:
        nn.Module: `model`.

    Raises:
        TypeError: `placement` has another form, or a module is scripted or traced, or
            wrapped for training in several processes.
        ValueError: A module or a block does not exist or already has a unit, or its
            number of channels is unknown.
    """
    if layout not in (None, *LAYOUTS):
        raise ValueError(f'layout must be one of {", ".join(LAYOUTS)}; got {layout!r}')
    if num_prefix_tokens is not None and (
        type(num_prefix_tokens) is not int or num_prefix_tokens < 0
    ):
        raise ValueError(
            'num_prefix_tokens must be an integer of at least 0; '
            f'got {num_prefix_tokens!r}'
        )
    if isinstance(model, torch.jit.ScriptModule):
        raise TypeError(
            'cannot insert a unit into a scripted or traced module: '
            'insert it before scripting or tracing'
        )
    inserted = []  # an error leaves the network unchanged
    for path, before in find_places(model, placement):
        block = model.get_submodule(path)
        check_batch_first(path, block, layout)
        settings = dict(unit or {})
        if 'in_channels' not in settings:
            settings['in_channels'] = find_channels(model, path, before, layout)
        prefix = num_prefix_tokens
        if prefix is None:
            prefix = find_prefix_tokens(model, path)
        dim = find_dim(model, path)
        form = _Form(
            path=path,
            channels=settings['in_channels'],
            dim=dim,
            layout=layout,
            channels_last=find_channels_last(block, layout),
            num_prefix_tokens=prefix,
        )
        layer = _UNITS[dim](**settings) if build is None else build(dim, **settings)
        like = next(chain(block.parameters(), model.parameters()), None)
        own = next(layer.parameters(), None)
        if like is not None and own is not None and _kind(own) != _kind(like):
            layer.to(device=like.device, dtype=like.dtype)
        hook = _ApplyUnit(form, before)
        inserted.append((block, hook, layer.train(block.training)))
    for block, hook, layer in inserted:
        block.add_module(hook.name, layer)
        # first, so that hooks that collect features get the output of the unit
        if hook.before:
            block.register_forward_pre_hook(hook, prepend=True)
        else:
            block.register_forward_hook(hook, prepend=True)
    if 'torch._dynamo' in sys.modules:  # compiled code does not look for new hooks
        torch.compiler.reset()
    return model


def remove_glore(model: nn.Module) -> nn.Module:
    """Remove all units that `insert_glore` inserted into a network, in place.

    Args:
        model (nn.Module): The network.

    Returns:
        nn.Module: `model`.
    """
    for module in model.modules():
        plain = getattr(module, 'plain_class', None)  # if WithGloRe built the backbone
        if isinstance(plain, type):
            module.__class__ = plain
    for module, hooks, key in list(_find_hooks(model)):
        delattr(module, hooks.pop(key).name)
    return model


def find_inserted(model: nn.Module) -> list[nn.Module]:
    """Return the units that `insert_glore` inserted into a network."""
    return [
        getattr(module, hooks[key].name) for module, hooks, key in _find_hooks(model)
    ]


def find_token_units(model: nn.Module) -> set[nn.Module]:
    """Return the inserted units whose input can be tokens, (N, L, C)."""
    return {
        getattr(module, hooks[key].name)
        for module, hooks, key in _find_hooks(model)
        if 3 in hooks[key].form.channels_last
    }


def has_other_hooks(module: nn.Module) -> bool:
    """Whether a module has forward hooks besides those that apply units."""
    hooks = chain(module._forward_hooks.values(), module._forward_pre_hooks.values())
    return not all(isinstance(hook, _ApplyUnit) for hook in hooks)


class _Form(NamedTuple):
    """The format of a block's output (or input) and of its unit's input."""

    path: str  # of the block
    channels: int
    dim: int  # spatial dimensions of the input of the unit
    layout: str | None  # as given by the user
    channels_last: tuple[int, ...]  # tensors with these numbers of dimensions: (…, C)
    num_prefix_tokens: int


@dataclass
class _ApplyUnit:
    """A forward hook, or pre-hook, that applies the unit of a block.

    It has no module, because it is copied and pickled with the block.
    """

    form: _Form
    before: bool  # a pre-hook: the unit works on the input of the block

    @property
    def name(self) -> str:
        """The name of the unit among the children of the block."""
        return UNIT_NAMES[self.before]

    def __call__(self, block: nn.Module, args: Any, output: Any = None) -> Any:
        """Apply the unit to the block's output, or to its first argument."""
        values = args if self.before else output
        several = isinstance(values, (tuple, list))
        x, *others = (values or (None,)) if several else (values,)
        two = any(isinstance(value, Tensor) for value in others) and not self.before
        if two or not isinstance(x, (Tensor, Proxy)):
            found = type(values).__name__
            if several:
                found += f' of {", ".join(type(v).__name__ for v in (x, *others))}'
            side = 'input' if self.before else 'output'
            raise TypeError(
                f'the {side} of {self.form.path} is not a single tensor, but {found}: '
                'a unit takes a tensor, or the first of a tuple of a tensor and its '
                f'shape. Name a module with such an {side}'
            )
        if isinstance(x, Tensor) and x.is_nested:
            raise TypeError(
                f'{self.form.path} gives a nested tensor, which a unit cannot take: '
                'build nn.TransformerEncoder with enable_nested_tensor=False'
            )
        grid = _find_grid((*args[1:], *others), self.form.dim)
        view = _view(x, self.form, grid)
        y = _undo_view(getattr(block, self.name)(view), x, self.form)
        if not several:
            return y
        make = getattr(type(values), '_make', type(values))  # of a named tuple
        return make([y, *others])


@wrap  # torch.fx records it as one call, because it depends on the shape
def _view(x: Any, form: _Form, grid: tuple[int, ...]) -> Any:
    """Return the input of the unit, (N, C, *spatial) with `dim` spatial dimensions."""
    path, channels, dim, layout, channels_last, num_prefix_tokens = form
    last = x.dim() in channels_last
    if not torch.jit.is_tracing() and (
        x.dim() != (len(layout) if layout else max(x.dim(), 3))
        or x.shape[-1 if last else 1] != channels
        or (x.dim() == 3 and last and x.shape[1] <= num_prefix_tokens)
    ):
        where = f'in dimension {x.dim() - 1 if last else 1}'
        where = f'in the layout {layout}' if layout else where
        raise ValueError(
            f'{path} gives {tuple(x.shape)}; its unit expects {channels} channels '
            f'{where}, after {num_prefix_tokens} prefix tokens. If that is wrong, give '
            'layout=…, unit=dict(in_channels=…) or num_prefix_tokens=…'
        )
    if last:
        x = x[:, num_prefix_tokens:] if x.dim() == 3 else x
        x = x.movedim(-1, 1)
    if x.dim() == dim + 2:
        return x
    x = x.flatten(2)
    if not (torch.jit.is_tracing() or torch.compiler.is_compiling()):
        side = math.isqrt(x.shape[2])
        for shape in (grid, (side,) * dim):  # the maps of nodes are drawn in this shape
            if shape and math.prod(shape) == x.shape[2]:
                return x.unflatten(2, shape)
    return x.reshape(x.shape[0], x.shape[1], -1, *(1,) * (dim - 1))


def _find_grid(values: Any, dim: int) -> tuple[int, ...]:
    """Find the spatial shape of tokens among the other values of a block, if given."""
    if [type(size) for size in values[:dim]] == [int] * dim:  # block(x, H, W)
        return tuple(values[:dim])
    for value in values:
        if (
            isinstance(value, (tuple, list))
            and [type(size) for size in value] == [int] * dim
        ):
            return tuple(value)
    return ()


@wrap
def _undo_view(y: Any, x: Any, form: _Form) -> Any:
    """Return the output of the unit in the shape of `x`, with its prefix tokens."""
    if x.dim() not in form.channels_last:
        return y.reshape(x.shape)
    y = y.flatten(2).transpose(1, 2)  # (N, L, C)
    if x.dim() == 3 and form.num_prefix_tokens:
        return torch.cat([x[:, : form.num_prefix_tokens], y], 1)
    return y.reshape(x.shape)


def _find_hooks(model: nn.Module) -> Iterator[tuple[nn.Module, dict[int, Any], int]]:
    """Yield the module of each `_ApplyUnit`, and the dictionary and key of the hook."""
    for module in model.modules():
        for hooks in (module._forward_hooks, module._forward_pre_hooks):
            for key, hook in hooks.items():
                if isinstance(hook, _ApplyUnit):
                    yield module, hooks, key


def _kind(tensor: Tensor) -> tuple[torch.device, torch.dtype]:
    return tensor.device, tensor.dtype


def find_units(model: nn.Module) -> dict[str, GloRe]:
    """Return all units in a network by their paths, also those built into it."""
    return {path: m for path, m in model.named_modules() if isinstance(m, GloRe)}
