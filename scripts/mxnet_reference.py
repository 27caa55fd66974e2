"""Write checkpoints and logits of MXNet 1.9.1, to test the converter.

The networks are those of the GloRe release's ImageNet table, with random weights:
pre-activation ResNets, plain, with squeeze-and-excitation and with groups (ResNeXt),
and DPNs, each with and without units. MXNet is retired, so it needs an old Python in a
separate environment.

python3.8 -m venv mxnet && mxnet/bin/pip install mxnet==1.9.1 'numpy<1.24'
mxnet/bin/python scripts/mxnet_reference.py r50_2-3 --out FOLDER

The script writes <name>-symbol.json, <name>-0000.params, and <name>.npz with the input
(data) and the network's output before the softmax in double precision (logits).
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import NamedTuple

import mxnet as mx
import numpy as np
from mxnet.symbol import Symbol


class Network(NamedTuple):
    """The settings of a network."""

    blocks: tuple  # number of blocks in conv2, ..., conv5
    units: dict  # by stage: the blocks that a unit follows
    groups: int = 1
    stem: int = 64
    se: bool = False
    width: int = 64
    size: int = 224
    classes: int = 1000

    def narrow(self) -> Network:
        """Return a variant with 1/16 of the channels, few blocks and small images."""
        units = {stage: (1, 3, 5)[: stage - 1] for stage in self.units}
        groups, stem = max(self.groups // 16, 1), self.stem // 16
        return Network((1, 3, 5, 1), units, groups, stem, self.se, 4, 64, 10)


# The places of the units in ResNet-200, ResNeXt-101 and the DPNs are not public. Here
# they are spread over the stage.
WITH_UNITS = dict(
    r50=Network((3, 4, 6, 3), {3: (1, 3), 4: (1, 3, 5)}),
    se_r50=Network((3, 4, 6, 3), {3: (1, 3), 4: (1, 3, 5)}, se=True),
    r101=Network((3, 4, 23, 3), {3: (1, 3), 4: (6, 12, 18)}),
    x101=Network((3, 4, 23, 3), {3: (1, 3), 4: (6, 12, 18)}, groups=32),
    r200=Network((3, 24, 36, 3), {3: (8, 16), 4: (9, 18, 27)}),
    dpn98=Network((3, 6, 20, 3), {3: (2, 4), 4: (5, 10, 15)}, groups=40, stem=96),
    dpn131=Network((4, 8, 28, 3), {3: (3, 6), 4: (7, 14, 21)}, groups=40, stem=128),
)
NETWORKS = {
    f'{name}{suffix}': net._replace(units={stage: net.units[stage] for stage in stages})
    for name, net in WITH_UNITS.items()
    for suffix, stages in (('', ()), ('_0-3', (4,)), ('_2-3', (3, 4)))
}


class Layers:
    """Creates layers with the release's names, and records the inputs of all norms.

    If eps is None, it is not set, as in the release, so that MXNet's default of 1e-3
    applies. The short names are those of later networks by the same authors.
    """

    def __init__(self, eps: float | None, short_names: bool) -> None:
        self.eps = {} if eps is None else dict(eps=eps)
        self.bar = '_' if short_names else '__'
        self.before = ('', '') if short_names else ('__bn', '__ac')
        self.normalised = {}

    def conv(self, x, name, out, kernel=1, stride=1, groups=1, ndim=2) -> Symbol:
        """Create a convolution without bias."""
        form = dict(kernel=kernel, stride=stride, pad=kernel // 2)
        if ndim == 2:
            form = {key: (value, value) for key, value in form.items()}
        form.update(num_filter=out, num_group=groups, no_bias=True)
        return mx.sym.Convolution(x, name=f'{name}{self.bar}conv', **form)

    def bn_relu(self, x: Symbol, name: str, before=('', '')) -> Symbol:
        """Create a normalisation and a ReLU."""
        bn, relu = f'{name}{before[0]}{self.bar}bn', f'{name}{before[1]}{self.bar}relu'
        self.normalised[bn] = x
        x = mx.sym.BatchNorm(x, name=bn, fix_gamma=False, momentum=0.9, **self.eps)
        return mx.sym.Activation(x, act_type='relu', name=relu)

    def bn_relu_conv(self, x: Symbol, name: str, *args, **kwargs) -> Symbol:
        """Create a convolution after a normalisation and a ReLU."""
        return self.conv(self.bn_relu(x, name, self.before), name, *args, **kwargs)

    def stem(self, conv: str, bn: str, out: int) -> Symbol:
        """Create the stem, which reduces the image to a quarter of its size."""
        x = self.conv(mx.sym.Variable('data'), conv, out, 7, 2)
        form = dict(pool_type='max', kernel=(3, 3), stride=(2, 2), pad=(1, 1))
        return mx.sym.Pooling(self.bn_relu(x, bn), name='pool1', **form)

    def squeeze_excite(self, x: Symbol, name: str, channels: int) -> Symbol:
        """Create a squeeze-and-excitation block."""
        form = dict(pool_type='avg', kernel=(1, 1), stride=(1, 1), global_pool=True)
        y = mx.sym.Pooling(x, name=f'{name}_pool', **form)
        form = dict(num_hidden=channels // 16, no_bias=False)
        y = mx.sym.FullyConnected(y, name=f'{name}_fc1', **form)
        y = mx.sym.Activation(y, act_type='relu', name=f'{name}_relu')
        form = dict(num_hidden=channels, no_bias=False)
        y = mx.sym.FullyConnected(y, name=f'{name}_fc2', **form)
        y = mx.sym.Activation(y, act_type='sigmoid', name=f'{name}_sigmoid')
        y = mx.sym.expand_dims(y, axis=2, name=f'{name}_expend1')
        y = mx.sym.expand_dims(y, axis=3, name=f'{name}_expend2')
        return mx.sym.broadcast_mul(x, y, name=f'{name}_mul')

    def glore(self, x: Symbol, name: str, nodes: int) -> Symbol:
        """Create a unit up to its 2 · nodes channels, without the last convolution."""
        state = self.bn_relu_conv(x, f'{name}_conv-state', 2 * nodes)
        proj = self.bn_relu_conv(x, f'{name}_conv-proj', nodes)
        flat = (0, 0, -1)
        s = mx.sym.reshape(state, shape=flat, name=f'{name}_conv-state-reshape')
        p = mx.sym.reshape(proj, shape=flat, name=f'{name}_conv-proj-reshape')
        v = mx.sym.batch_dot(s, p, transpose_b=True, name=f'{name}_proj')
        graph = f'{name}_GCN-G'
        y = mx.sym.transpose(v, axes=(0, 2, 1), name=f'{graph}-permute1')
        y = self.bn_relu_conv(y, graph, nodes, ndim=1)
        y = mx.sym.transpose(y, axes=(0, 2, 1), name=f'{graph}-permute2')
        y = mx.sym.ElementWiseSum(v, y, name=f'{graph}_sum')
        y = self.bn_relu_conv(y, f'{name}_GCN-GHW', 2 * nodes, ndim=1)
        y = mx.sym.batch_dot(y, p, name=f'{name}_reverse-proj')
        return mx.sym.reshape_like(y, state, name=f'{name}_reverse-proj-reshape')


def resnet(layers: Layers, net: Network) -> Symbol:
    """Create a pre-activation ResNet that returns logits."""
    x = layers.stem('conv1', 'conv1', net.stem)
    for stage, blocks in enumerate(net.blocks, 2):
        out = net.width * 2**stage
        mid = out // 4 if net.groups == 1 else out // 2
        for i in range(1, blocks + 1):
            name = f'conv{stage}_B{i:02d}'
            stride = 2 if i == 1 and stage > 2 else 1
            y = layers.bn_relu_conv(x, f'{name}_conv-m1', mid)
            y = layers.bn_relu_conv(y, f'{name}_conv-m2', mid, 3, stride, net.groups)
            y = layers.bn_relu_conv(y, f'{name}_conv-m3', out)
            if net.se:
                y = layers.squeeze_excite(y, f'{name}_se', out)
            if i == 1:
                x = layers.bn_relu_conv(x, f'{name}_conv-w1', out, 1, stride)
            x = mx.sym.ElementWiseSum(x, y, name=f'{name}_sum')
            if i in net.units.get(stage, ()):
                name += '_extra'
                y = layers.glore(x, name, out // 4)
                y = layers.bn_relu_conv(y, f'{name}_fc-2', out)
                x = mx.sym.ElementWiseSum(x, y, name=f'{name}_sum')
    return classifier(layers.bn_relu(x, 'tail'), 'global-pool', 'classifier', net)


def dpn(layers: Layers, net: Network) -> Symbol:
    """Create a dual path network that returns logits."""
    x = layers.stem('conv1_x_1', 'conv1_x_1__relu-sp', net.stem)
    paths = ()  # the residual path and the dense path
    for stage, blocks in enumerate(net.blocks, 2):
        out, mid = net.width * 2**stage, net.width * 2**stage * 5 // 8
        inc = {2: 16, 3: 32, 4: 32, 5: 128}[stage] * net.width // 64
        for i in range(1, blocks + 1):
            name = f'conv{stage}_x__{i}'
            stride = 2 if i == 1 and stage > 2 else 1
            if paths:
                x = mx.sym.Concat(*paths, name=f'{name}_cat-input')
            if i == 1:
                part, both = f'{name}_c1x1-w(s/{stride})', out + 2 * inc
                y = layers.bn_relu_conv(x, part, both, 1, stride)
                paths = split(y, part, out, both)
            y = layers.bn_relu_conv(x, f'{name}_c1x1-a', mid)
            y = layers.bn_relu_conv(y, f'{name}_c3x3-b', mid, 3, stride, net.groups)
            part, both = f'{name}_c1x1-c', out + inc
            y = layers.bn_relu_conv(y, part, both)
            add, more = split(y, part, out, both)
            res = mx.sym.ElementWiseSum(paths[0], add, name=f'{name}_sum')
            dense = mx.sym.Concat(paths[1], more, name=f'{name}_cat')
            if i in net.units.get(stage, ()):
                name += '_extra'
                x = mx.sym.Concat(res, dense, name=f'{name}_cat-input')
                y = layers.glore(x, name, out // 4)
                add = layers.bn_relu_conv(y, f'{name}_conv-tail-res', out)
                res = mx.sym.ElementWiseSum(res, add, name=f'{name}_sum-res')
                add = layers.bn_relu_conv(y, f'{name}_conv-tail-den', (i + 2) * inc)
                dense = mx.sym.ElementWiseSum(dense, add, name=f'{name}_sum-den')
            paths = res, dense
    x = mx.sym.Concat(*paths, name='conv5_x_x_cat-final')
    return classifier(layers.bn_relu(x, 'conv5_x_x__relu-sp'), 'pool5', 'fc6', net)


def split(x: Symbol, name: str, at: int, end: int) -> list[Symbol]:
    """Split the first channels from the rest."""
    first = mx.sym.slice_axis(x, axis=1, begin=0, end=at, name=f'{name}-split1')
    rest = mx.sym.slice_axis(x, axis=1, begin=at, end=end, name=f'{name}-split2')
    return [first, rest]


def classifier(x: Symbol, pool: str, name: str, net: Network) -> Symbol:
    """Create the global average pooling and the linear layer."""
    form = dict(pool_type='avg', kernel=(net.size // 32,) * 2, stride=(1, 1))
    x = mx.sym.Flatten(mx.sym.Pooling(x, name=pool, **form), name='flatten')
    return mx.sym.FullyConnected(x, num_hidden=net.classes, name=name)


def draw(rng: np.random.RandomState, name: str, shape: tuple) -> np.ndarray:
    """Draw random values for a parameter or the input."""
    if name.endswith('_gamma'):
        return rng.uniform(0.5, 1.5, shape)
    if name.endswith(('_beta', '_bias')):
        return rng.normal(0, 0.3, shape)
    spread = 1 if name == 'data' else (2 / np.prod(shape[1:])) ** 0.5
    if any(part in name for part in ('-state', '-proj', '_fc-2', '-tail')):
        spread /= 10  # else a unit, which is cubic, amplifies rounding errors
    return rng.normal(0, spread, shape)


def take_statistics(layers: Layers, arg: dict, aux: dict) -> None:
    """Set the norms' statistics to those of the input.

    With others, values would overflow, as a unit is cubic.
    """
    inputs = mx.sym.Group(list(layers.normalised.values()))
    bound = inputs.bind(mx.cpu(), arg, aux_states=aux, grad_req='null')
    bound.forward(is_train=True)
    for i, name in enumerate(layers.normalised):
        values = bound.outputs[i].asnumpy()
        values = values.swapaxes(0, 1).reshape(values.shape[1], -1)
        aux[f'{name}_moving_mean'][:] = values.mean(1).astype('float32')
        aux[f'{name}_moving_var'][:] = values.var(1).astype('float32')


def main() -> None:
    """Build a network, draw its weights, and save it with its logits."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    names = ' '.join(NETWORKS)
    parser.add_argument('name', choices=NETWORKS, metavar='NAME', help=names)
    parser.add_argument('--out', type=Path, required=True, help='folder')
    parser.add_argument('--seed', type=int, default=0)
    parser.add_argument('--narrow', action='store_true', help='a small variant')
    parser.add_argument('--eps', type=float, help='of the normalisations')
    parser.add_argument('--short-names', action='store_true', help='name_bn, name_conv')
    parser.add_argument('--float16', action='store_true', help='except normalisations')
    args = parser.parse_args()

    net = NETWORKS[args.name].narrow() if args.narrow else NETWORKS[args.name]
    layers = Layers(args.eps, args.short_names)
    logits = (dpn if args.name.startswith('dpn') else resnet)(layers, net)
    shape = (2 if args.narrow else 1, 3, net.size, net.size)
    types = dict.fromkeys(logits.list_arguments(), 'float64')
    bound = logits.simple_bind(mx.cpu(), grad_req='null', type_dict=types, data=shape)
    arg, aux = bound.arg_dict, bound.aux_dict
    rng = np.random.RandomState(args.seed)
    saved = {}
    for name in sorted(arg):
        half = args.float16 and name.endswith(('_weight', '_bias'))
        values = draw(rng, name, arg[name].shape)
        saved[name] = mx.nd.array(values, dtype='float16' if half else 'float32')
        arg[name][:] = saved[name]
    take_statistics(layers, arg, aux)
    bound.forward(is_train=False)
    seen = dict(data=saved.pop('data').asnumpy(), logits=bound.outputs[0].asnumpy())
    aux = {name: array.astype('float32') for name, array in aux.items()}

    args.out.mkdir(parents=True, exist_ok=True)
    prefix = str(args.out / args.name)
    softmax = mx.sym.SoftmaxOutput(logits, name='softmax')
    mx.model.save_checkpoint(prefix, 0, softmax, saved, aux)
    np.savez_compressed(f'{prefix}.npz', **seen)
    for kind, arrays in ('arg', saved), ('aux', aux):
        elements = sum(array.size for array in arrays.values())
        print(f'{kind}: {len(arrays)} arrays, {elements:,} elements')


if __name__ == '__main__':
    main()
