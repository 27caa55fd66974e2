"""Convert released checkpoints; inflate 2D weights to 3D.

The same network has two sets of names:

==============================  ====================================
released                        here
==============================  ====================================
``conv1.*``                     ``backbone.conv1.*``
``conv2`` … ``conv5``           ``backbone.layer1`` … ``layer4``
``conv3.B01.*``                 ``backbone.layer2.0.*``
``conv3.B01_extra.*``           ``backbone.layer2.0.glore.*``
``tail.*``                      ``backbone.tail.*``
``classifier.*``                ``cls_head.fc_cls.*``
==============================  ====================================

Inside a block and inside a unit the names are the same.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from glore_mm.checkpoints.files import get_state_dict
from glore_mm.utils.errors import UserError, summarize_list

_KINDS = {
    'released': 'a Kinetics checkpoint of the GloRe release',
    'released 2D': '2D weights of the GloRe release',
    'ours': 'a checkpoint of this project',
    'ours 2D': 'the checkpoint of a 2D network of this project',
}
_RELEASED = re.compile(r'conv([2-5])\.B(\d\d)(_extra)?\.(.+)')  # in a block or unit
_SHOWN = 20  # keys listed in a message


@dataclass
class Conversion:
    """What became of a checkpoint.

    Attributes:
        kind (str): What it was: 'released', 'released 2D', 'ours' or 'ours 2D'.
        state_dict (dict[str, Tensor]): The weights under their new names.
        dropped (list[str]): What was in the file and is not in `state_dict`.
        untouched (list[str]): Parts of the network that `state_dict` says nothing of.
    """

    kind: str
    state_dict: dict[str, Tensor]
    dropped: list[str] = field(default_factory=list)
    untouched: list[str] = field(default_factory=list)


def convert(
    content: dict[str, Any], network: Mapping[str, Tensor], path: str
) -> Conversion:
    """Convert a released checkpoint into ours, or ours into the released form.

    2D weights are inflated, as the release does it: a kernel is repeated along time and
    divided by its length. They may be the release's or those of a `PreActResNet` with
    stem='lite'. Their classifier is left out, and so are the units of the latter, which
    have another form; all else is accounted for, key by key.

    Args:
        content (dict): Of the checkpoint file, see `read_checkpoint`.
        network (Mapping[str, Tensor]): State dict of the recognizer that the weights
            are for, a `PreActResNet3d` with units and its head.
        path (str): The file, for messages.

    Returns:
        Conversion: The weights under their new names, and what was left out.

    Raises:
        UserError: A key is unknown, missing or of another shape than in `network`.
    """
    state = get_state_dict(content, path)
    dropped = [
        key for key in content if 'state_dict' in content and key != 'state_dict'
    ]
    flat = any(value.dim() == 4 for value in state.values())
    if any(name.startswith('backbone.') for name in state):
        kind = 'ours'
        names = {name: name for name in state}
        left_out = [n for n in state if n.startswith('head.') or _unit_of(n)]
    else:
        kind = 'released'
        names = {name: _our_name(name) for name in state}
        left_out = [n for n in state if n.startswith('classifier.')]
    if flat:
        kind += ' 2D'
        dropped += left_out
        names = {name: names[name] for name in state if name not in left_out}
    unknown = [name for name in names if names[name] not in network]
    ours = {names[name]: state[name] for name in names if name not in unknown}

    untouched = []
    if flat:
        ours = {name: _inflate(value, network[name]) for name, value in ours.items()}
        units = {_unit_of(name) for name in network} - {_unit_of(name) for name in ours}
        untouched = [*sorted(units), 'cls_head']
    absent = [
        name
        for name in network
        if name not in ours and not name.startswith(tuple(f'{u}.' for u in untouched))
    ]
    # the release's PyTorch was older than this counter
    counters = [name for name in absent if name.endswith('num_batches_tracked')]
    ours |= {name: torch.zeros_like(network[name]) for name in counters}

    missing = [name for name in absent if name not in counters]
    reshaped = [
        f'{name} is {tuple(value.shape)}, expected {tuple(network[name].shape)}'
        for name, value in ours.items()
        if value.shape != network[name].shape
    ]
    _complain(path, kind, unknown, missing, reshaped)
    if kind == 'ours':
        ours = {_released_name(name): value for name, value in ours.items()}
    return Conversion(kind, ours, dropped, untouched)


def is_released(names: Iterable[str]) -> bool:
    """Whether weights of these names are a 3D or 2D network of the release."""
    return any(_RELEASED.fullmatch(name) for name in names)


def _our_name(name: str) -> str:
    """The name here of a released one; '' if the release has no such name."""
    if name.startswith('classifier.'):
        return name.replace('classifier', 'cls_head.fc_cls', 1)
    if name.startswith(('conv1.', 'tail.')):
        return f'backbone.{name}'
    match = _RELEASED.fullmatch(name)
    if match is None:
        return ''
    stage, block, unit, rest = match.groups()
    child = 'glore.' if unit else ''
    return f'backbone.layer{int(stage) - 1}.{int(block) - 1}.{child}{rest}'


def _released_name(name: str) -> str:
    """The inverse of `_our_name`."""
    name = name.replace('cls_head.fc_cls', 'classifier').removeprefix('backbone.')
    match = re.fullmatch(r'layer([1-4])\.(\d+)\.(glore\.)?(.+)', name)
    if match is None:
        return name
    stage, block, unit, rest = match.groups()
    extra = '_extra' if unit else ''
    return f'conv{int(stage) + 1}.B{int(block) + 1:02d}{extra}.{rest}'


def _unit_of(name: str) -> str:
    """The unit that a parameter is of; the whole of the network that is no unit: ''."""
    match = re.match(r'.*\.glore(?=\.)', name)
    return match[0] if match else ''


def _inflate(kernel: Tensor, like: Tensor) -> Tensor:
    """(O, I, H, W) → (O, I, T, H, W), the same sum over time; others as they are."""
    if kernel.dim() != 4 or like.dim() != 5:
        return kernel
    length = like.shape[2]
    return (kernel / length).unsqueeze(2).repeat(1, 1, length, 1, 1)


def _complain(path: str, kind: str, *findings: list[str]) -> None:
    texts = ('not known to the network', 'missing', 'of another shape')
    found = [
        f'{len(keys)} {text}: {summarize_list(keys, _SHOWN)}'
        for text, keys in zip(texts, findings, strict=True)
        if keys
    ]
    if found:
        advice = 'Give the config of that network.'
        if kind == 'ours 2D':
            advice += " A 2D network for it is a PreActResNet with stem='lite'."
        raise UserError(
            f'{path} looks like {_KINDS[kind]}, but not of the network that the config '
            f'builds. {"; ".join(found)}. {advice}'
        )
