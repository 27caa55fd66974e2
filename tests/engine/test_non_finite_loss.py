"""Losses that are not finite, in real trainings with one corrupted file."""

import re
import sys

import pytest
import soak
import torch
from mmengine.hooks import Hook
from mmengine.registry import HOOKS

from glore_mm.apis.train import train
from glore_mm.config.load import load_config
from glore_mm.utils.errors import UserError

POISON = """
import numpy as np
from mmseg.registry import TRANSFORMS

@TRANSFORMS.register_module(force=True)
class Poison:
    def __call__(self, results):
        if results['img_path'].endswith('aachen_000000_000019_leftImg8bit.png'):
            results['img'] = results['img'].astype(np.float32)
            results['img'][0, 0] = np.nan
        return results
"""
POISONED = """
_base_ = './iterations_10.py'
custom_imports = dict(imports=['glore_mm.seg', 'poison'])
train_pipeline = _base_.train_pipeline
train_pipeline.insert(-1, dict(type='Poison'))
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
norm = dict(type='BN')
model = dict(
    backbone=dict(norm_cfg=dict(_delete_=True, **norm)),
    decode_head=dict(norm_cfg=dict(_delete_=True, **norm)),
    auxiliary_head=dict(norm_cfg=dict(_delete_=True, **norm)),
)
custom_hooks = [dict(type='Recorder')]
"""
FILE = 'aachen_000000_000019_leftImg8bit.png'


@HOOKS.register_module()
class Recorder(Hook):
    """Keeps the runner, and the weights after the last training batch.

    Args:
        broken (str, optional): A module to break before the third iteration.
    """

    priority = 'LOWEST'

    def __init__(self, broken=None):
        self.broken = broken

    def before_train(self, runner):
        Recorder.runner, Recorder.left_out = runner, 0
        self.keep(runner)

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        if self.broken and runner.iter == 2:
            with torch.no_grad():
                for parameter in runner.model.get_submodule(self.broken).parameters():
                    parameter.fill_(1e30)
            self.keep(runner)

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        if not outputs:  # as after a skipped batch
            Recorder.left_out += 1
            assert self.unchanged()
        self.keep(runner)

    @staticmethod
    def keep(runner):
        state = runner.model.state_dict()
        Recorder.weights = {name: value.clone() for name, value in state.items()}

    @staticmethod
    def unchanged():
        """Whether weights and buffers equal the kept ones."""
        state = Recorder.runner.model.state_dict()
        return all(torch.equal(state[name], Recorder.weights[name]) for name in state)


@pytest.fixture
def run(tmp_path, monkeypatch):
    soak.prepare(tmp_path, soak.Scenario('', 'iterations', 10))
    (tmp_path / 'poison.py').write_text(POISON)
    (tmp_path / 'poisoned.py').write_text(POISONED)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    sys.modules.pop('poison', None)

    def train_here(config='poisoned.py', **options):
        options = {key.replace('__', '.'): value for key, value in options.items()}
        return train(load_config(config, options, 'run'), seed=0)

    return train_here


def test_training_stops_before_the_weights_change(run):
    with pytest.raises(UserError) as error:
        run()
    message = str(error.value)
    iteration = int(re.match(r'iteration (\d+): the loss is nan: ', message)[1])
    assert iteration == Recorder.runner.iter + 1
    assert 'the samples themselves have such values' in message
    assert f'scenes/leftImg8bit/train/aachen/{FILE}' in message
    assert message.count('leftImg8bit.png') == 4  # the batch
    state = Recorder.runner.model.named_parameters()
    assert all(torch.equal(value, Recorder.weights[name]) for name, value in state)


def test_a_batch_is_skipped_if_configured(run, capsys):
    runner = run(max_non_finite_batches=9)
    left_out = runner.message_hub.get_info('non_finite_batches')
    assert left_out == Recorder.left_out > 0
    said = capsys.readouterr().out
    for count in range(1, left_out + 1):
        assert f'Left out: {count} batch(es), at most 9.' in said
    assert 'loss: nan' not in said
    assert all(value.isfinite().all() for value in runner.model.state_dict().values())


@pytest.mark.slow
def test_the_number_of_skipped_batches_is_limited(run):
    with pytest.raises(
        UserError, match=r'3 batches were left out before.* Look at the'
    ):
        run(max_non_finite_batches=3, train_cfg__max_iters=100)
    assert Recorder.left_out == 3
    for wrong in (-1, True, 'all'):
        with pytest.raises(
            UserError, match='max_non_finite_batches is .*; expected the largest'
        ):
            run(max_non_finite_batches=wrong)


@pytest.mark.parametrize(
    ('broken', 'layer'),
    [
        ('decode_head.units.0', 'decode_head.units.0'),
        ('backbone.layer3', 'backbone.layer3.0.gn1'),
        ('backbone.layer3.0.conv1', 'backbone.layer3.0.gn1'),
    ],
)
def test_the_layer_is_reported(run, broken, layer):
    hooks = [dict(type='Recorder', broken=broken)]
    with pytest.raises(UserError) as error:
        run('iterations_10.py', custom_hooks=hooks)
    assert re.search(
        rf'iteration 3: the loss is (nan|inf): {re.escape(layer)}[\w.]* gave the first '
        'such value, from finite inputs. The samples: ',
        str(error.value),
    )
    assert Recorder.unchanged()
