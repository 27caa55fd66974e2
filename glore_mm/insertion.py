"""Units between the blocks of a backbone, by config (`WithGloRe`) or in Python.

A unit becomes one more named child of its stage, right behind its block (`layer3.0`,
`layer3.glore0`, `layer3.1`), so that every key of the backbone's checkpoint keeps its
name and `print(model)` shows the unit where it works.
"""

import copy
import re
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from functools import partial
from typing import Any

import torch
from mmengine.registry import MODELS
from torch import nn

INPUT = 'input'  # in a placement: in front of a stage's first block
_UNIT_NAME = re.compile(r'glore(\d+|_.+)')


@MODELS.register_module()
def WithGloRe(  # noqa: N802, reads as a type in a config
    backbone: dict[str, Any],
    placement: Mapping[str, int | Sequence[int | str]],
    unit: dict[str, Any] | None = None,
    freeze_units: bool = False,
    stages: Mapping[str, str] | None = None,
    **kwargs: Any,
) -> nn.Module:
    """Build a backbone with global reasoning units between its blocks.

    Example::

        backbone=dict(
            type='WithGloRe',
            backbone=dict(type='ResNet', depth=50),
            placement=dict(layer2=2, layer3=3))     # R50 (2, 3) of the paper

    Args:
        backbone (dict): Config of the backbone, of any library.
        placement: As for `insert_glore`.
        unit: As for `insert_glore`.
        freeze_units: As for `insert_glore`.
        stages: As for `insert_glore`.
        kwargs: What a model adds to the config of its backbone, as mmsegmentation does
            with `pretrained`: given to the backbone.

    Returns:
        nn.Module: The backbone itself.

    Raises:
        TypeError: `backbone` is no config.
        ValueError: As `insert_glore`.
    """
    if not isinstance(backbone, Mapping) or 'type' not in backbone:
        raise TypeError(
            f"WithGloRe: backbone must be a config with a 'type', got {backbone!r}"
        )
    built = MODELS.build({**backbone, **kwargs})
    return insert_glore(built, placement, unit, freeze_units, stages)


def insert_glore(
    model: nn.Module,
    placement: Mapping[str, int | Sequence[int | str]],
    unit: dict[str, Any] | None = None,
    freeze_units: bool = False,
    stages: Mapping[str, str] | None = None,
) -> nn.Module:
    """Insert units behind blocks of a network, in place.

    A unit is named after its block: `glore0` behind `0`, `glore_conv4_3` behind
    `conv4_3`; `glore_input` in front of a stage's first block.

    Args:
        model (nn.Module): A network whose stages are `nn.Sequential`s of blocks. Units
            keep their own initialisation when its `init_weights` is called.
        placement (Mapping[str, int | Sequence[int | str]]): For each stage, by the path
            of its module ('layer3', 'slow_path.layer3'): the blocks that a unit
            follows, counted from 0, as a sequence, in which 'input' stands for the
            place in front of the first block, so that dict(layer1=('input',)) is on the
            stem; or how many units to spread over the stage, as a number. The i-th of n
            units in a stage of b blocks follows block floor(i (b + 1) / (n + 1)),
            counted from 1: three units in the six blocks of a ResNet-50's layer3 follow
            the first, third and fifth.
        unit (dict, optional): Config of the units, less `in_channels`, which is that of
            the block. Default type: GloRe1d, GloRe2d or GloRe3d, as the block's maps
            need.
        freeze_units (bool): Whether units in stages that the backbone freezes
            (`frozen_stages`) are frozen with them. Default: False, they train.
        stages (Mapping[str, str], optional): Names for stages that have no module of
            their own, as where all blocks of a network stand in one `nn.Sequential`: a
            path whose last part is a pattern of the names of their blocks, `*`, `?` and
            `[0-9]` as in file names. With dict(res4='features.conv4_*') `placement`
            knows a stage 'res4'.

    Returns:
        nn.Module: `model`.

    Raises:
        TypeError: `placement` is no mapping of paths to numbers or sequences, or
            `stages` none of names to patterns.
        ValueError: A stage or a block does not exist, or has its unit already.
    """
    if not isinstance(placement, Mapping) or not placement:
        raise TypeError(
            'placement must say which stages get units, such as dict(layer3=3) or '
            f'dict(layer3=(0, 2, 4)); got {placement!r}'
        )
    stages = stages or {}
    if not isinstance(stages, Mapping):
        raise TypeError(f'stages must give names to patterns; got {stages!r}')
    for name, pattern in stages.items():
        if not isinstance(pattern, str) or '.' not in pattern:
            raise TypeError(
                f'stages must give {name!r} the path of a sequence and a pattern of '
                f"names in it, such as 'features.conv4_*'; got {pattern!r}"
            )
        if name not in placement:
            raise ValueError(
                f'stages names {name!r}, but placement does not: it has '
                f'{", ".join(map(repr, placement))}'
            )
    # All of the placement is read before the first unit goes in.
    places = [_place(model, path, where, stages) for path, where in placement.items()]
    chosen = [f'{path}.{block}' for _, path, blocks in places for block in blocks]
    for block in chosen:
        if chosen.count(block) > 1:
            raise ValueError(f'placement asks for two units behind {block}')
    for sequence, path, blocks in places:
        _insert(sequence, path, blocks, unit or {})
    for method in (_init_weights, _get_layer_depth):
        name = method.__name__.lstrip('_')
        if hasattr(type(model), name):
            setattr(model, name, partial(method, model))
    model.train = partial(_train, model, freeze_units)  # type: ignore[method-assign]
    model.train(model.training)  # in here a backbone freezes its stages
    return model


def _place(
    model: nn.Module,
    path: str,
    where: int | Sequence[int | str],
    stages: Mapping[str, str],
) -> tuple[nn.Sequential, str, list[str]]:
    """The sequence that holds a stage, its path, and the blocks that get a unit."""
    name = type(model).__name__
    pattern = stages.get(path, f'{path}.*')
    parent, _, names = pattern.rpartition('.')
    try:
        sequence = model.get_submodule(parent)
    except AttributeError:
        sequence = None
    if not isinstance(sequence, nn.Sequential) or sequence is model:
        said = f'placement names {path!r}'
        if path in stages:
            said = f'stages has {path!r} in {parent!r}'
        known = [*stages, *_sequences(model)]
        raise ValueError(
            f'{said}, which is no stage of {name}; '
            f'its stages are: {", ".join(known) or "none"}'
        )
    blocks = [block for block in _names(sequence) if fnmatchcase(block, names)]
    if not blocks:
        raise ValueError(
            f'stages has {path!r} as {pattern!r}, but no block of {parent!r} in '
            f'{name} is so named; they are: {", ".join(_names(sequence))}'
        )
    chosen = [
        i if isinstance(i, str) else blocks[i]
        for i in _indices(where, len(blocks), path, name)
    ]
    if INPUT in chosen and blocks[0] != _names(sequence)[0]:
        raise ValueError(
            f"placement asks for a unit at the 'input' of {path!r} of {name}, which "
            f'stands in the middle of {parent!r}: put it behind the block before'
        )
    for block in chosen:
        if _unit_name(block) in sequence._modules:
            place = 'at the input'
            if block != INPUT:
                place = f'behind block {blocks.index(block)}'
            raise ValueError(
                f'placement asks for a second unit {place} of {path!r} of {name}; '
                'there is room for one'
            )
    return sequence, parent, chosen


def _indices(
    where: int | Sequence[int | str], count: int, path: str, name: str
) -> Sequence[int | str]:
    """The blocks, from 0, behind which a stage of so many gets its units, or INPUT."""
    if isinstance(where, int) and not isinstance(where, bool):
        if not 0 <= where <= count:
            raise ValueError(
                f'placement asks for {where} units in {path!r} of {name}, '
                f'which has {count} blocks: 0 to {count} units fit'
            )
        return [i * (count + 1) // (where + 1) - 1 for i in range(1, where + 1)]
    if (
        isinstance(where, str)
        or not isinstance(where, Sequence)
        or not all(type(i) is int or i == INPUT for i in where)
    ):
        raise TypeError(
            f'placement of {path!r} must be a number of units or a sequence of blocks, '
            f"counted from 0, or 'input', such as (0, 2) or ('input',); got {where!r}"
        )
    for block in where:
        if isinstance(block, int) and not 0 <= block < count:
            raise ValueError(
                f'placement asks for a unit behind block {block} of {path!r} of '
                f'{name}, whose blocks are 0 to {count - 1}'
            )
    return where


def _sequences(model: nn.Module) -> list[str]:
    """The paths of what may be a stage: it holds blocks, and a block holds layers."""
    return [
        path
        for path, module in model.named_modules()
        if isinstance(module, nn.Sequential)
        and module is not model
        and _names(module)
        and any(True for _ in module[0].children())
    ]


def _names(stage: nn.Sequential) -> list[str]:
    """The children of a stage that are its blocks."""
    return [name for name in stage._modules if not _UNIT_NAME.fullmatch(name)]


def _unit_name(block: str) -> str:
    return f'glore{block}' if block.isdigit() else f'glore_{block}'


def _insert(
    stage: nn.Sequential, path: str, blocks: list[str], cfg: dict[str, Any]
) -> None:
    def unit_for(shape: Sequence[int], block: nn.Module) -> nn.Module:
        default = dict(type=f'GloRe{len(shape) - 2}d', in_channels=shape[1])
        unit = MODELS.build({**default, **cfg})
        weight = next(block.parameters())
        return unit.to(device=weight.device, dtype=weight.dtype).train(stage.training)

    children: dict[str, nn.Module] = OrderedDict()
    for name, module in stage._modules.items():
        if INPUT in blocks and not children:
            shape = _input_shape(module, f'{path}.{name}')
            children[_unit_name(INPUT)] = unit_for(shape, module)
        children[name] = module
        if name in blocks:
            shape = _output_shape(module, f'{path}.{name}')
            children[_unit_name(name)] = unit_for(shape, module)
    stage._modules = children


def _input_shape(block: nn.Module, path: str) -> tuple[int, ...]:
    """The shape of a small input that a block takes."""
    convs = [m for m in block.modules() if isinstance(m, nn.modules.conv._ConvNd)]
    if not convs:
        raise ValueError(
            f'{path} ({type(block).__name__}) has no convolution: a unit cannot tell '
            'its channels'
        )
    # blocks that shift along time (TSM) take the frames of a clip as a batch
    frames = next(filter(None, map(_shifted, block.modules())), 1)
    return (frames, convs[0].in_channels, *(8 for _ in convs[0].kernel_size))


def _output_shape(block: nn.Module, path: str) -> torch.Size:
    """The shape that a block gives, seen by running a copy of it on a small input."""
    size = _input_shape(block, path)
    try:
        with torch.no_grad():
            out = copy.deepcopy(block).eval()(next(block.parameters()).new_zeros(size))
    except Exception as error:
        raise ValueError(
            f'{path} ({type(block).__name__}) cannot be run on an input {size} to see '
            f'its channels: {error}'
        ) from error
    if not isinstance(out, torch.Tensor):
        raise ValueError(
            f'{path} ({type(block).__name__}) returns {type(out).__name__}: a unit can '
            'follow only a block that returns one tensor'
        )
    return out.shape


def _shifted(module: nn.Module) -> int | None:
    found = getattr(module, 'num_segments', None)
    return found if isinstance(found, int) else None


# What a network with units does otherwise. The functions are bound by `partial` to the
# instance: its class stays what it is, and copies and pickles of it work.


def _units(model: nn.Module) -> Iterator[Any]:
    for path, module in model.named_modules():
        if _UNIT_NAME.fullmatch(path.rpartition('.')[2]):
            yield module


def _init_weights(model: Any, *args: Any, **kwargs: Any) -> None:
    """Initialise; the libraries set every norm to 1, which would undo the identity."""
    if getattr(model, 'is_init', False):
        return type(model).init_weights(model, *args, **kwargs)
    loaded = set()  # units whose weights came with a pretrained checkpoint

    def note(unit: Any, state_dict: dict[str, Any], prefix: str, *_: Any) -> None:
        if any(key.startswith(prefix) for key in state_dict):
            loaded.add(unit)

    units = list(_units(model))
    hooks = [  # public from torch 2.5 on
        unit._register_load_state_dict_pre_hook(note, with_module=True)
        for unit in units
    ]
    try:
        type(model).init_weights(model, *args, **kwargs)
    finally:
        for hook in hooks:
            hook.remove()
    for unit in units:
        if unit not in loaded and hasattr(unit, 'init_weights'):
            unit.init_weights()


def _train(model: nn.Module, freeze_units: bool, mode: bool = True) -> nn.Module:
    """Switch mode; units stay out of the backbone's `norm_eval` and `frozen_stages`."""
    flags = {
        unit: [parameter.requires_grad for parameter in unit.parameters()]
        for unit in _units(model)
    }
    type(model).train(model, mode)
    for unit, before in flags.items():
        frozen = not any(parameter.requires_grad for parameter in unit.parameters())
        if freeze_units and frozen:
            continue
        unit.train(mode)
        for parameter, flag in zip(unit.parameters(), before, strict=True):
            parameter.requires_grad_(flag)
    return model


def _get_layer_depth(
    model: Any, param_name: str, *args: Any, **kwargs: Any
) -> tuple[int, int]:
    """Depth for layer-wise learning-rate decay: a unit counts as its block.

    One in front of a stage counts as the first block.
    """
    param_name = re.sub(rf'\.glore_{INPUT}\.', '.0.', param_name)
    param_name = re.sub(r'\.glore_?([^.]+)\.', r'.\1.', param_name)
    return type(model).get_layer_depth(model, param_name, *args, **kwargs)
