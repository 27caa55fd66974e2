"""Convert the released ImageNet networks, which are checkpoints of MXNet.

Names in ResNets:

===========================================  =====================================
released                                     here
===========================================  =====================================
``conv1__conv_weight``                       ``backbone.conv1.conv.weight``
``conv3_B01_conv-m1__bn__bn_gamma``          ``backbone.layer2.0.conv_m1.bn.weight``
``conv3_B01_extra_conv-state__conv_weight``  ``backbone.layer2.0.glore.conv_state.…``
``…_extra_GCN-G``, ``…_GCN-GHW``             ``….glore.gcn.conv1``, ``….gcn.conv2``
``…_extra_fc-2``                             ``….glore.conv_extend``
``…_fc1_weight`` of a block                  ``backbone.layer1.0.se.fc1.weight``
``tail__bn_gamma``                           ``backbone.tail.bn.weight``
``classifier_weight``                        ``head.fc.weight``
===========================================  =====================================

Names in dual path networks, in ``timm_model.features``:

===========================================  =====================================
``conv1_x_1__relu-sp__bn_gamma``             ``conv1_1.bn.weight``
``conv3_x__1_c1x1-w(s/2)__conv_weight``      ``conv3_1.c1x1_w_s2.conv.weight``
``conv3_x__1_extra_conv-tail-res…``          ``conv3_1.glore.conv_extend.residual.…``
``conv5_x_x__relu-sp__bn_gamma``             ``conv5_bn_ac.bn.weight``
===========================================  =====================================

Some files have one underscore where these names have two.
"""

import math
import re
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

from glore_mm.checkpoints.conversion import Conversion, rename
from glore_mm.checkpoints.mxnet import MXNetCheckpoint, Operator
from glore_mm.utils.errors import UserError, summarize_list

_PARAMETERS = {
    'bn_gamma': 'bn.weight',
    'bn_beta': 'bn.bias',
    'bn_moving_mean': 'bn.running_mean',
    'bn_moving_var': 'bn.running_var',
    'conv_weight': 'conv.weight',
    'weight': 'weight',
    'bias': 'bias',
}
_NAME = re.compile(rf'(.+?)(?:_bn)?_({"|".join(_PARAMETERS)})')
_LAYERS = {
    'conv1': 'backbone.conv1',
    'tail': 'backbone.tail',
    'classifier': 'head.fc',
    'fc6': 'head.fc',
    'conv1_x_1': 'backbone.timm_model.features.conv1_1',
    'conv1_x_1_relu-sp': 'backbone.timm_model.features.conv1_1',
    'conv5_x_x_relu-sp': 'backbone.timm_model.features.conv5_bn_ac',
}
_BLOCK = re.compile(r'conv([2-5])_(B|x_)(\d{1,2})_(.+)')
_BLOCK_LAYERS = {
    **{f'conv-{layer}': f'conv_{layer}' for layer in ('m1', 'm2', 'm3', 'w1')},
    'c1x1-w(s/1)': 'c1x1_w_s1',
    'c1x1-w(s/2)': 'c1x1_w_s2',
    'c1x1-a': 'c1x1_a',
    'c3x3-b': 'c3x3_b',
    'c1x1-c': 'c1x1_c',
    'extra_conv-state': 'glore.conv_state',
    'extra_conv-proj': 'glore.conv_proj',
    'extra_GCN-G': 'glore.gcn.conv1',
    'extra_GCN-GHW': 'glore.gcn.conv2',
    'extra_fc-2': 'glore.conv_extend',
    'extra_conv-tail-res': 'glore.conv_extend.residual',
    'extra_conv-tail-den': 'glore.conv_extend.dense',
}
_SQUEEZE_EXCITATION = re.compile(r'(?:.+_)?(fc[12])')  # their prefix is unknown

# attributes of MXNet's operators: default value, name in torch's layer, config key
_CHECKED: dict[str, dict[str, tuple[Any, str, str]]] = {
    'Convolution': {
        'stride': (1, 'stride', 'strides'),
        'pad': (0, 'padding', 'the kernel'),
        'dilate': (1, 'dilation', 'dilations'),
        'num_group': (1, 'groups', 'groups and width_per_group'),
    },
    'BatchNorm': {'eps': (1e-3, 'eps', 'eps in norm_cfg')},
}


def our_name(name: str) -> str:
    """Return our name for an array of a released ImageNet network; '' if unknown."""
    match = _NAME.fullmatch(name.replace('__', '_'))
    if match is None:
        return ''
    layer, parameter = match[1], _PARAMETERS[match[2]]
    path = _LAYERS.get(layer, '') or _path_in_block(layer)
    if '.glore.' in path:
        parameter = parameter.replace('bn.', 'norm.')
    return path and f'{path}.{parameter}'


def _path_in_block(layer: str) -> str:
    match = _BLOCK.fullmatch(layer)
    if match is None:
        return ''
    stage, kind, block, rest = match.groups()
    path = _BLOCK_LAYERS.get(rest, '')
    if not path and (found := _SQUEEZE_EXCITATION.fullmatch(rest)):
        path = f'se.{found[1]}'
    if kind == 'B':
        parent = f'backbone.layer{int(stage) - 1}.{int(block) - 1}'
    else:
        parent = f'backbone.timm_model.features.conv{stage}_{int(block)}'
    return path and f'{parent}.{path}'


def convert_imagenet(
    checkpoint: MXNetCheckpoint, network: nn.Module, path: str
) -> Conversion:
    """Convert a released ImageNet checkpoint to the names here.

    Args:
        checkpoint (MXNetCheckpoint): The checkpoint.
        network (nn.Module): The classifier that the weights are for.
        path (str): The file, for messages.

    Returns:
        Conversion: The weights under our names, in float32.

    Raises:
        UserError: An array is unknown, missing or of another shape than in `network`,
            or an operator has other attributes than the layer of `network`.
    """
    kind = 'released ImageNet'
    state = {name: array.float() for name, array in checkpoint.arrays.items()}
    for operator in checkpoint.operators.values():
        if operator.kind == 'BatchNorm' and operator.attributes.get('fix_gamma', True):
            gamma = operator.inputs[1]  # MXNet computes with 1, whatever it is
            state[gamma] = torch.ones_like(state[gamma])
    names = {name: our_name(name) for name in state}
    _check_units(names.values(), network, path)
    ours = rename(state, names, network.state_dict(), path, kind, _as_kernel)
    _check_operators(checkpoint, network, path)
    return Conversion(kind, ours)


def _check_units(names: Iterable[str], network: nn.Module, path: str) -> None:
    """Make sure that a network has units after the same blocks as the file."""
    in_file = _blocks_with_units(names)
    in_network = _blocks_with_units(network.state_dict())
    if in_file == in_network:
        return
    advice = 'Change its placement.'
    if not in_network:
        advice = 'Give the config with these units, or add them with WithGloRe.'
    elif not in_file:
        advice = 'Give the config without units.'
    raise UserError(
        f'{path} has {_describe_units(in_file)}; the network of the config has '
        f'{_describe_units(in_network)}. {advice}'
    )


def _describe_units(blocks: list[str]) -> str:
    if not blocks:
        return 'no units'
    return f'{len(blocks)} unit(s), after {summarize_list(blocks, 20)}'


def _blocks_with_units(names: Iterable[str]) -> list[str]:
    """Return the sorted paths of the blocks with units, from names of parameters."""
    blocks = dict.fromkeys(n.partition('.glore.')[0] for n in names if '.glore.' in n)
    return sorted(blocks, key=lambda n: [int(part) for part in re.findall(r'\d+', n)])


def _as_kernel(value: Tensor, like: Tensor) -> Tensor:
    """Reshape the matrix of a linear layer to the kernel of a 1×1 convolution."""
    return value.reshape(like.shape) if value.shape == like.shape[:2] else value


def _check_operators(
    checkpoint: MXNetCheckpoint, network: nn.Module, path: str
) -> None:
    """Make sure that layers of a network have the attributes of the operators."""
    differences: dict[str, list[str]] = {}
    for name, operator in checkpoint.operators.items():
        for difference in _compare(operator, network):
            differences.setdefault(difference, []).append(name)
    if differences:
        lines = [
            f'{what}, in {len(names)} of the file ({summarize_list(names, 1)})'
            for what, names in differences.items()
        ]
        raise UserError(
            f'{path}: the network of the config has the right weights, but other '
            f'settings. {"; ".join(lines)}. Change the config.'
        )


def _compare(operator: Operator, network: nn.Module) -> list[str]:
    """List differences between an operator and its layer, each with a config key."""
    checked = _CHECKED.get(operator.kind, {})
    layer: Any = None
    if checked:
        layer = network.get_submodule(our_name(operator.inputs[1]).rpartition('.')[0])
    differences = []
    for name, (default, own, key) in checked.items():
        found: Any = operator.attributes.get(name, default)
        expected: Any = getattr(layer, own)
        if isinstance(expected, tuple):
            found = found or (default,)
            found = found if isinstance(found, tuple) else (found,) * len(expected)
        is_equal = found == expected
        if isinstance(expected, float) and isinstance(found, float | int):
            # the file may have it in single precision
            is_equal = math.isclose(found, expected, rel_tol=1e-6)
        if not is_equal:
            differences.append(f'{name} {found} for {expected} in the network ({key})')
    return differences
