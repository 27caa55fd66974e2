"""The unit of dual path networks, against a float64 transcription."""

import pytest
import torch
import torch.nn.functional as F
from mmengine.registry import MODELS

import glore_mm.models.dual_path  # noqa: F401


def unit(**options):
    torch.manual_seed(0)
    return MODELS.build(
        dict(type='DualPathGloRe2d', in_channels=12, residual_channels=8, **options)
    )


def randomize(module):
    for parameter in module.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    for name, buffer in module.named_buffers():
        if name.endswith('running_var'):
            torch.nn.init.uniform_(buffer, 0.5, 1.5)
        elif name.endswith('running_mean'):
            torch.nn.init.normal_(buffer, std=0.5)


def test_equals_the_release():
    module = unit(norm_cfg=dict(type='BN', eps=1e-3)).double().eval()
    randomize(module)
    state = module.state_dict()
    x = torch.randn(2, 12, 5, 7, dtype=torch.float64)

    def layer(name, value):
        parts = ('running_mean', 'running_var', 'weight', 'bias')
        norm = [state[f'{name}.norm.{part}'] for part in parts]
        value = F.batch_norm(value, *norm, eps=1e-3).relu()
        return torch.einsum(
            'oc,nc...->no...', state[f'{name}.conv.weight'].flatten(1), value
        )

    states = layer('conv_state', x).flatten(2)
    nodes = layer('conv_proj', x).flatten(2)
    v = states @ nodes.mT
    v = v + layer('gcn.conv1', v.mT).mT
    y = (layer('gcn.conv2', v) @ nodes).unflatten(2, (5, 7))
    tails = layer('conv_extend.residual', y), layer('conv_extend.dense', y)
    assert (nodes.shape[1], states.shape[1], tails[1].shape[1]) == (2, 4, 4)
    torch.testing.assert_close(module(x), x + torch.cat(tails, 1))


def test_a_new_unit_is_the_identity_and_both_paths_learn():
    module = unit()
    x = torch.randn(2, 12, 5, 7)
    assert torch.equal(module(x), x)
    module(x).square().sum().backward()
    tails = module.conv_extend.residual, module.conv_extend.dense
    assert all(tail.conv.weight.grad.any() for tail in tails)


@pytest.mark.parametrize('residual_channels', [0, 12, 13])
def test_a_path_without_channels(residual_channels):
    with pytest.raises(ValueError, match='between 0 and in_channels=12, both excl'):
        MODELS.build(
            dict(
                type='DualPathGloRe2d',
                in_channels=12,
                residual_channels=residual_channels,
            )
        )
