"""GloReHead."""

import pytest
import torch
from mmengine.config import ConfigDict
from mmengine.registry import init_default_scope
from mmseg.registry import MODELS

import glore_mm.seg  # noqa: F401, registers GloReHead


@pytest.fixture(autouse=True)
def scope():
    init_default_scope('mmseg')


def head(kind, **kwargs):
    return MODELS.build(
        ConfigDict(
            type=kind,
            in_channels=32,
            channels=16,
            num_classes=5,
            concat_input=False,
            norm_cfg=dict(type='BN'),
            **kwargs,
        )
    )


@pytest.mark.parametrize('num_units', [0, 1, 2])
def test_a_new_head_equals_fcn(num_units):
    """It loads FCNHead's weights and has the same output until it is trained."""
    fcn, glore = head('FCNHead'), head('GloReHead', num_units=num_units)
    missing, unexpected = glore.load_state_dict(fcn.state_dict(), strict=False)
    assert not unexpected
    assert {key.split('.')[0] for key in missing} == ({'units'} if num_units else set())
    x = [torch.randn(2, 32, 9, 9)]
    assert torch.equal(glore.eval()(x), fcn.eval()(x))
    if num_units:
        unit = glore.units[0]
        assert (unit.num_states, unit.num_nodes, unit.normalize) == (128, 64, True)
        torch.nn.init.ones_(unit.blocker.weight)
        assert not torch.equal(glore(x), fcn(x))


def test_the_config_of_an_fcn_head_is_accepted():
    """mmseg's own config, which has num_convs and concat_input."""
    with pytest.raises(ValueError, match='between 2 convolutions, got num_convs=1'):
        head('GloReHead', num_convs=1)
    glore = MODELS.build(
        dict(
            type='GloReHead',
            in_channels=32,
            channels=16,
            num_convs=2,
            num_classes=5,
            concat_input=True,
            norm_cfg=dict(type='BN'),
        )
    )
    assert glore([torch.randn(2, 32, 9, 9)]).shape == (2, 5, 9, 9)
