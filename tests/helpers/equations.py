"""The unit's equations, transcribed in float64, and helpers for tests of units."""

import itertools

import torch
from torch import nn

from glore_mm import GloRe1d, GloRe2d, GloRe3d

UNITS = {1: GloRe1d, 2: GloRe2d, 3: GloRe3d}
SIZES = {1: (13,), 2: (7, 6), 3: (3, 5, 4)}


def randomize(unit: nn.Module) -> nn.Module:
    """Set every parameter and buffer to random values, scales not close to zero."""
    generator = torch.Generator().manual_seed(1)

    def uniform(tensor, low, high):
        tensor.data = low + (high - low) * torch.rand(
            tensor.shape, generator=generator
        ).to(tensor)

    for name, tensor in itertools.chain(unit.named_parameters(), unit.named_buffers()):
        if name.endswith('running_mean'):
            uniform(tensor, -0.7, -0.2)  # keeps ReLUs from being dead
        elif name.endswith('running_var'):
            uniform(tensor, 1.3, 2.0)
        elif name.endswith('num_batches_tracked'):
            tensor.fill_(7)
        elif tensor.dim() == 1 and name.endswith('weight'):  # of a norm
            uniform(tensor, 0.5, 1.0)
        else:
            uniform(tensor, -0.5, 0.5)
    return unit


def norm(state, name, x, training, eps):
    """Batch norm of (N, C, L)."""
    if training:
        mean = x.mean(dim=(0, 2))
        var = ((x - mean[:, None]) ** 2).mean(dim=(0, 2))
    else:
        mean, var = state[f'{name}.running_mean'], state[f'{name}.running_var']
    x = (x - mean[:, None]) / torch.sqrt(var[:, None] + eps)
    return x * state[f'{name}.weight'][:, None] + state[f'{name}.bias'][:, None]


def transcription(state, x, normalize, pre_act, training, eps=1e-4):
    """Y of the paper's equations from a float64 state dict; x is (N, C, *spatial)."""
    n, c = x.shape[:2]
    flat = x.reshape(n, c, -1)

    def layer(name, value):
        if pre_act:
            value = norm(state, f'{name}.norm', value, training, eps).clamp(min=0)
            name = f'{name}.conv'
        weight = state[f'{name}.weight'].flatten(1)
        value = torch.einsum('oi,nil->nol', weight, value)
        if f'{name}.bias' in state:
            value = value + state[f'{name}.bias'][:, None]
        return value

    b = layer('conv_proj', flat)
    v = torch.einsum('nsl,nkl->nsk', layer('conv_state', flat), b)
    if normalize:
        v = v / flat.shape[2]
    mixed = layer('gcn.conv1', v.permute(0, 2, 1)).permute(0, 2, 1)
    total = v + mixed
    z = layer('gcn.conv2', total if pre_act else total.clamp(min=0))
    y = layer('conv_extend', torch.einsum('nsk,nkl->nsl', z, b))
    if not pre_act:
        y = norm(state, 'blocker', y, training, eps)
    return y.reshape(x.shape)


def double(state):
    return {key: value.double() for key, value in state.items()}


def error(found, expected):
    return ((found.double() - expected).norm() / expected.norm()).item()
