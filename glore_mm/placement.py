"""Resolve a placement to the blocks of a network.

A place is the path of a module, and whether the unit is at its input or its output.
"""

from collections.abc import Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any, TypeAlias

import torch
from torch import nn

Place: TypeAlias = tuple[str, bool]  # path of a module, whether at its input

_PARALLEL = {'DistributedDataParallel', 'FullyShardedDataParallel', 'FSDPModule'}
INPUT = 'input'  # in a placement: at the input of the first block
UNIT_NAMES = ('glore', 'glore_input')  # children of a block: at its output, its input


def find_places(model: nn.Module, placement: Any) -> list[Place]:
    """Return the places of a placement, which is described in `insert_glore`.

    Raises:
        TypeError: The placement has another form.
        ValueError: A module or a block does not exist, already has a unit, or cannot
            have one.
    """
    if isinstance(placement, Mapping) and placement:
        found = [
            place
            for path, where in placement.items()
            for place in _places_in(model, path, where)
        ]
    elif (
        isinstance(placement, Sequence)
        and placement
        and not isinstance(placement, str)
        and all(isinstance(path, str) for path in placement)
    ):
        found = [(path, False) for path in placement]
    else:
        raise TypeError(
            'placement must say where units go, such as dict(layer3=3), '
            "dict(layer3=(0, 2, 4)) or ['layer3.0', 'layer3.2']; "
            f'got {placement!r}'
        )
    places = [_resolve_host(model, *place) for place in found]
    hosts: dict[tuple[nn.Module, bool], str] = {}
    for path, before in places:
        _check_host(model, path, before)
        host = model.get_submodule(path), before
        if host in hosts:
            same = f', which is also {hosts[host]}' if hosts[host] != path else ''
            raise ValueError(
                f'placement has two units {describe_place(path, before)}{same}'
            )
        hosts[host] = path
    return places


def child_names(module: nn.Module) -> list[str]:
    """Return the names of a module's children, without inserted units."""
    # not named_children(), which leaves out a module with a second name
    children = module._modules.items()
    return [name for name, child in children if child and name not in UNIT_NAMES]


def describe_place(path: str, before: bool) -> str:
    """Describe a place for a message."""
    return f'at the input of {path}' if before else f'after {path}'


def _places_in(model: nn.Module, path: str, where: Any) -> Iterator[Place]:
    """Yield the places in one container of blocks."""
    blocks = _find_blocks(model, path)
    name, count = type(model).__name__, len(blocks)
    if type(where) is int:
        if not 0 <= where <= count:
            raise ValueError(
                f'placement has {where} units in {path!r} of {name}, '
                f'which has {count} blocks: 0 to {count} units fit'
            )
        where = [i * (count + 1) // (where + 1) - 1 for i in range(1, where + 1)]
    if (
        isinstance(where, str)
        or not isinstance(where, Sequence)
        or not all(type(i) is int or i == INPUT for i in where)
    ):
        raise TypeError(
            f'placement of {path!r} must be a number of units or a sequence of blocks, '
            f"counted from 0, or 'input', such as (0, 2) or ('input',); got {where!r}"
        )
    for i in where:
        if i == INPUT:
            yield blocks[0], True
        elif 0 <= i < count:
            yield blocks[i], False
        else:
            raise ValueError(
                f'placement has a unit after block {i} of {path!r} of '
                f'{name}, whose blocks are 0 to {count - 1}'
            )


def _find_blocks(model: nn.Module, path: str) -> list[str]:
    """Return the paths of the blocks in a container, or of those matching a pattern."""
    name = type(model).__name__
    parent, _, pattern = path.rpartition('.')
    if any(character in pattern for character in '*?['):
        container = _get_module(model, parent)
        names = [name for name in child_names(container) if fnmatchcase(name, pattern)]
        if not names:
            raise ValueError(
                f'placement names {path!r}, but no block of {parent!r} in {name} '
                f'matches it; {parent!r} has: {_list_children(container)}'
            )
    else:
        parent, container = path, _get_module(model, path)
        names = child_names(container)
        is_list = isinstance(container, nn.Sequential | nn.ModuleList | nn.ModuleDict)
        one_class = len({type(container.get_submodule(name)) for name in names}) == 1
        if not names or not (is_list or one_class):
            raise ValueError(
                f'placement names {path!r}, which has no blocks in {name}: '
                f'{type(container).__name__} has {_list_children(container)}. Name a '
                f'container of blocks, or the module itself: placement=[{path!r}]'
            )
    return [f'{parent}.{name}'.lstrip('.') for name in names]


def _get_module(model: nn.Module, path: str) -> nn.Module:
    module, known = model, ''
    for name in filter(None, path.split('.')):
        child = module._modules.get(name)
        if child is None:
            raise ValueError(
                f'placement names {path!r}, which is not a module of '
                f'{type(model).__name__}; {known or "it"} has: {_list_children(module)}'
            )
        if _PARALLEL & {base.__name__ for base in type(module).__mro__}:
            raise TypeError(
                f'{type(module).__name__} is wrapped for training in several '
                'processes, which would not share the weights of units: insert them '
                'before wrapping'
            )
        module, known = child, f'{known}.{name}'.lstrip('.')
    return module


def _resolve_host(model: nn.Module, path: str, before: bool) -> Place:
    """Return the place at the module that can have the unit as a child.

    An `nn.Sequential` would run the unit as one of its children. Its output is that of
    its last child, and its input that of its first: that child has the unit instead.
    """
    module = _get_module(model, path)
    names = child_names(module)
    runs_children = (
        isinstance(module, nn.Sequential)
        and type(module).forward is nn.Sequential.forward
    )
    if runs_children and names:
        return _resolve_host(model, f'{path}.{names[0 if before else -1]}', before)
    return path, before


def _check_host(model: nn.Module, path: str, before: bool) -> None:
    block = _get_module(model, path)
    if isinstance(block, torch.jit.ScriptModule):
        raise TypeError(f'{path} is scripted or traced and cannot have a unit')
    if isinstance(block, nn.Sequential | nn.ModuleList | nn.ModuleDict):
        raise ValueError(
            f'{path} ({type(block).__name__}) is a container that runs or lists its '
            'children: a unit cannot be one of them. Name another module; it has: '
            f'{_list_children(block)}'
        )
    if type(block).forward is nn.Module.forward:  # torch.fx keeps such modules
        raise ValueError(
            f'{path} ({type(block).__name__}) has no forward method, so it is never '
            'called, as in a network that torch.fx has traced: insert units before '
            f'tracing, or name a module that is called; it has: {_list_children(block)}'
        )
    owner = model.get_submodule(path.rpartition('.')[0])
    if isinstance(owner, nn.MultiheadAttention):
        raise ValueError(
            f'{path} is never called: {type(owner).__name__} only reads its weights'
        )
    if hasattr(block, UNIT_NAMES[before]):
        raise ValueError(
            f'placement has a second unit {describe_place(path, before)}; '
            'only one is possible there'
        )


def _list_children(module: nn.Module) -> str:
    return ', '.join(child_names(module)) or 'no children'
