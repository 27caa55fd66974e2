"""Units in configs of OpenMMLab."""

import pytest
import torch
from mmengine.registry import MODELS
from torch import nn

import glore_mm


def build(kind, **cfg):
    return MODELS.build(dict(type=kind, in_channels=16, **cfg))


@pytest.mark.parametrize('dim', [1, 2, 3])
def test_a_config_builds_the_unit_of_plain_pytorch(dim):
    kind = f'GloRe{dim}d'
    torch.manual_seed(0)
    unit = build(kind, num_nodes=5, normalize=True)
    torch.manual_seed(0)
    plain = getattr(glore_mm, kind)(16, num_nodes=5, normalize=True)
    assert isinstance(unit, type(plain))
    assert str(unit) == str(plain)
    for key, value in plain.state_dict().items():
        assert torch.equal(unit.state_dict()[key], value)


def test_norm_and_conv_types():
    batch_norms = {1: nn.BatchNorm1d, 2: nn.BatchNorm2d, 3: nn.BatchNorm3d}
    for dim, kind in batch_norms.items():
        for name in ('BN', f'BN{dim}d', kind):
            unit = build(f'GloRe{dim}d', norm_cfg=dict(type=name))
            assert (type(unit.blocker), unit.blocker.eps) == (kind, 1e-5)
    assert type(build('GloRe3d', norm_cfg=dict(type='IN')).blocker) is nn.InstanceNorm3d
    inherited = build('GloRe2d', norm_cfg=dict(type='SyncBN', _scope_='mmseg'))
    assert type(inherited.blocker) is nn.SyncBatchNorm
    synced = build('GloRe2d', norm_cfg=dict(type=nn.SyncBatchNorm))
    assert type(synced.blocker) is nn.SyncBatchNorm
    frozen = build('GloRe2d', norm_cfg=dict(type='BN', requires_grad=False))
    assert not any(p.requires_grad for p in frozen.blocker.parameters())
    assert type(build('GloRe2d', norm_cfg=None).blocker) is nn.Identity
    pre_act = build('GloRe2d', pre_act=True, norm_cfg=dict(type='BN'))
    assert type(pre_act.gcn.conv1.norm) is nn.BatchNorm2d
    standardised = build('GloRe2d', conv_cfg=dict(type='ConvWS'))  # mmcv's
    assert type(standardised.conv_state).__name__ == 'ConvWS2d'
    assert type(standardised.gcn.conv1) is nn.Conv1d


@pytest.mark.parametrize(
    ('kind', 'cfg', 'message'),
    [
        ('GloRe2d', dict(norm_cfg='BN'), "norm_cfg must be a dict .* got 'BN'"),
        ('GloRe2d', dict(norm_cfg=dict(type='BN3d')), "use type='BN'"),
        ('GloRe2d', dict(norm_cfg=dict(type=None)), 'type in norm_cfg=.*not a layer'),
        ('GloRe3d', dict(conv_cfg=dict(type='Conv2d')), "use type='Conv'"),
    ],
)
def test_wrong_configs(kind, cfg, message):
    with pytest.raises((TypeError, ValueError), match=message):
        build(kind, **cfg)


def test_the_plugin_in_a_plain_mmseg_project():
    import mmseg.models  # noqa: F401

    plugin = dict(
        cfg=dict(type='GloRe2d', normalize=True, num_nodes=8),
        stages=(False, False, True, False),
        position='after_conv3',
    )
    cfg = dict(type='mmseg.ResNet', depth=50, norm_eval=False)
    torch.manual_seed(0)
    net = MODELS.build(dict(cfg, plugins=[plugin]))
    plain = MODELS.build(cfg)
    missing, unexpected = plain.load_state_dict(net.state_dict(), strict=False)
    assert not missing
    assert all('.glore.' in key for key in unexpected)
    assert len({key.split('.glore.')[0] for key in unexpected}) == 6
    net.init_weights()
    plain.load_state_dict(net.state_dict(), strict=False)
    x = torch.randn(1, 3, 64, 64)
    net.eval()
    plain.eval()
    for found, expected in zip(net(x), plain(x), strict=True):
        assert torch.equal(found, expected)
