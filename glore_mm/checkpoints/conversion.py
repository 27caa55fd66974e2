"""Convert released PyTorch checkpoints; inflate 2D weights to 3D.

The release and this project use different names for the same weights. Names in a
Kinetics network:

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

Inside a block and inside a unit the names are the same. Names in a Cityscapes network:

==============================  ====================================
``pretrained.*``                ``backbone.*``
``head.conv51``                 ``decode_head.convs.0``
``head.gcn.GCN00.fc_2``         ``decode_head.units.0.conv_extend``
``head.conv52``                 ``decode_head.convs.1``
``head.conv6.1``                ``decode_head.conv_seg``
==============================  ====================================
"""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from glore_mm.checkpoints.files import get_state_dict
from glore_mm.unit import CONV_EXTEND_ALIAS
from glore_mm.utils.errors import UserError, summarize_list

_KINDS = {
    'released': 'a Kinetics checkpoint of the GloRe release',
    'released 2D': '2D weights of the GloRe release',
    'ours': 'a checkpoint of this project',
    'ours 2D': 'the checkpoint of a 2D network of this project',
    'released ImageNet': 'an ImageNet checkpoint of the GloRe release',
    'released Cityscapes': 'a Cityscapes checkpoint of the GloRe release',
}
_RELEASED = re.compile(r'conv([2-5])\.B(\d\d)(_extra)?\.(.+)')  # in a block or unit
# names of PyTorch-Encoding, on which the Cityscapes networks are based
_CITYSCAPES = {
    r'(?:pretrained|backbone)\.bn1\.(.+)': r'backbone.bn1.\1',
    r'(?:pretrained|backbone)\.conv1\.(weight)': r'backbone.conv1.\1',
    r'(?:pretrained|backbone)\.conv1\.(\d\..+)': r'backbone.stem.\1',
    r'(?:pretrained|backbone)\.(layer[1-4]\.\d+\..+)': r'backbone.\1',
    r'head\.conv51\.0\.(.+)': r'decode_head.convs.0.conv.\1',
    r'head\.conv51\.1\.(.+)': r'decode_head.convs.0.bn.\1',
    r'head\.gcn\.GCN0(\d)\.(.+)': r'decode_head.units.\1.\2',
    r'head\.conv52\.0\.(.+)': r'decode_head.convs.1.conv.\1',
    r'head\.conv52\.1\.(.+)': r'decode_head.convs.1.bn.\1',
    r'head\.conv6\.1\.(.+)': r'decode_head.conv_seg.\1',
}
_SHOWN = 20  # keys listed in a message


@dataclass
class Conversion:
    """The result of a conversion.

    Attributes:
        kind (str): Kind of the source: 'released', 'released 2D', 'released ImageNet',
            'released Cityscapes', 'ours' or 'ours 2D'.
        state_dict (dict[str, Tensor]): The weights under their new names.
        dropped (list[str]): Keys of the file that are not in `state_dict`.
        untouched (list[str]): Parts of the network without weights in `state_dict`.
    """

    kind: str
    state_dict: dict[str, Tensor]
    dropped: list[str] = field(default_factory=list)
    untouched: list[str] = field(default_factory=list)


def convert(
    content: dict[str, Any], network: Mapping[str, Tensor], path: str
) -> Conversion:
    """Convert a released PyTorch checkpoint to the names here, or back.

    2D weights for a 3D network are inflated as in the release: a kernel is repeated
    along time and divided by the length of time. They can come from the release or from
    a `PreActResNet` with stem='lite'. Their classifier is left out. The units of a
    `PreActResNet` are left out, too, because they have another form. Every other key
    must have a counterpart.

    Args:
        content (dict): Content of the checkpoint file, from `read_checkpoint`.
        network (Mapping[str, Tensor]): State dict of the network that the weights are
            for: a recognizer with a `PreActResNet3d` and units, or a segmentor with a
            `GloReHead`.
        path (str): The file, for messages.

    Returns:
        Conversion: The weights under their new names, and the keys left out.

    Raises:
        UserError: A key is unknown, missing or of another shape than in `network`.
    """
    state = get_state_dict(content, path)
    if is_cityscapes(state):
        done = _convert_cityscapes(state, network, path)
    else:
        done = _convert_video(state, network, path)
    if 'state_dict' in content:
        done.dropped += [key for key in content if key != 'state_dict']
    return done


def _convert_cityscapes(
    state: Mapping[str, Tensor], network: Mapping[str, Tensor], path: str
) -> Conversion:
    kind = 'released Cityscapes'
    # the classifier of the ImageNet network that initialised the backbone
    dropped = [name for name in state if re.match(r'(pretrained|backbone)\.fc\.', name)]
    kept = {name: value for name, value in state.items() if name not in dropped}
    names = {name: _our_cityscapes_name(name) for name in kept}
    if 'backbone.stem.0.weight' in names.values():  # a stem of three 3×3 convolutions
        last = 'backbone.stem.7.'
        names = {k: v.replace('backbone.bn1.', last) for k, v in names.items()}
    return Conversion(kind, rename(kept, names, network, path, kind), dropped)


def _convert_video(
    state: Mapping[str, Tensor], network: Mapping[str, Tensor], path: str
) -> Conversion:
    flat = any(value.dim() == 4 for value in state.values())
    dropped: list[str] = []
    untouched: list[str] = []
    if any(name.startswith('backbone.') for name in state):
        kind = 'ours'
        names = {name: name for name in state}
        left_out = [n for n in state if n.startswith('head.') or _unit_of(n)]
    else:
        kind = 'released'
        names = {name: _our_name(name) for name in state}
        left_out = [n for n in state if n.startswith('classifier.')]
    if flat and not any(value.dim() == 5 for value in network.values()):
        raise UserError(
            f'{path} has 2D weights, and the config builds a 2D network: only Kinetics '
            'networks are converted back. --format-only changes the file format.'
        )
    if flat:
        kind += ' 2D'
        dropped = left_out
        names = {name: names[name] for name in state if name not in left_out}
        units = {_unit_of(name) for name in network}
        units -= {_unit_of(name) for name in names.values()}
        untouched = [*sorted(units), 'cls_head']
    ours = rename(state, names, network, path, kind, _inflate, untouched)
    if kind == 'ours':
        ours = {_released_name(name): value for name, value in ours.items()}
    return Conversion(kind, ours, dropped, untouched)


def rename(
    state: Mapping[str, Tensor],
    names: Mapping[str, str],
    network: Mapping[str, Tensor],
    path: str,
    kind: str,
    fit: Callable[[Tensor, Tensor], Tensor] = lambda value, like: value,
    untouched: Sequence[str] = (),
) -> dict[str, Tensor]:
    """Rename weights to the names of a network.

    Args:
        state (Mapping[str, Tensor]): The weights.
        names (Mapping[str, str]): For each weight to take, its name in `network`.
        network (Mapping[str, Tensor]): State dict of the network.
        path (str): The file, for the message.
        kind (str): Kind of the file, for the message.
        fit (Callable): Called with a weight and that of `network`; returns the weight
            in the shape of the latter. Default: returns it unchanged.
        untouched (Sequence[str]): Parts of the network without weights in `state`.

    Returns:
        dict[str, Tensor]: The weights. Missing `num_batches_tracked` of batch norms are
        0: the release is older than these counters.

    Raises:
        UserError: A weight is unknown, missing or of another shape than in `network`.
    """
    uses = Counter(names.values())
    known = [n for n, ours in names.items() if ours in network and uses[ours] == 1]
    unknown = [f'{n} {tuple(state[n].shape)}' for n in names if n not in known]
    ours = {names[name]: fit(state[name], network[names[name]]) for name in known}
    absent = [
        name
        for name in network
        if name not in ours and not name.startswith(tuple(f'{u}.' for u in untouched))
    ]
    counters = [name for name in absent if name.endswith('num_batches_tracked')]
    ours |= {name: torch.zeros_like(network[name]) for name in counters}

    missing = [name for name in absent if name not in counters]
    reshaped = [
        f'{name} is {tuple(value.shape)}, expected {tuple(network[name].shape)}'
        for name, value in ours.items()
        if value.shape != network[name].shape
    ]
    _raise_on_mismatch(path, kind, unknown, missing, reshaped)
    return ours


def is_released(names: Iterable[str]) -> bool:
    """Whether these are names of weights of a released network."""
    return is_cityscapes(names) or any(_RELEASED.fullmatch(name) for name in names)


def is_cityscapes(names: Iterable[str]) -> bool:
    """Whether these are names of weights of a released Cityscapes network."""
    return any(name.startswith('head.gcn.GCN') for name in names)


def _our_cityscapes_name(name: str) -> str:
    """Return our name for a name in a released Cityscapes network; '' if unknown."""
    for pattern, ours in _CITYSCAPES.items():
        if match := re.fullmatch(pattern, name):
            name = match.expand(ours)
            return name.replace(f'.{CONV_EXTEND_ALIAS}.', '.conv_extend.')
    return ''


def _our_name(name: str) -> str:
    """Return our name for a name in a released Kinetics network; '' if unknown."""
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
    """Return the name in a released Kinetics network; the inverse of `_our_name`."""
    name = name.replace('cls_head.fc_cls', 'classifier').removeprefix('backbone.')
    match = re.fullmatch(r'layer([1-4])\.(\d+)\.(glore\.)?(.+)', name)
    if match is None:
        return name
    stage, block, unit, rest = match.groups()
    extra = '_extra' if unit else ''
    return f'conv{int(stage) + 1}.B{int(block) + 1:02d}{extra}.{rest}'


def _unit_of(name: str) -> str:
    """Return the path of the unit that a parameter belongs to; '' if to none."""
    match = re.match(r'.*\.glore(?=\.)', name)
    return match[0] if match else ''


def _inflate(kernel: Tensor, like: Tensor) -> Tensor:
    """Inflate (O, I, H, W) to (O, I, T, H, W) with the same sum; others unchanged."""
    if kernel.dim() != 4 or like.dim() != 5:
        return kernel
    length = like.shape[2]
    return (kernel / length).unsqueeze(2).repeat(1, 1, length, 1, 1)


def _raise_on_mismatch(path: str, kind: str, *findings: list[str]) -> None:
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
