"""NodeVisualizationHook in a real Runner with real visualizer backends."""

import json

import numpy as np
import pytest
import torch
from paths import ROOT
from PIL import Image

from glore_mm.apis.train import train
from glore_mm.config.load import load_config

CONFIG = str(ROOT / 'configs' / 'seg' / 'glore_mini.py')


@pytest.fixture(scope='session')
def recorded(mini, tmp_path_factory):
    """A run of four iterations, and the weights of the same run without the hook."""
    folder = tmp_path_factory.mktemp('watched')
    options = {
        'data_root': str(mini),
        'model.decode_head.channels': 16,
        'model.auxiliary_head.channels': 16,
        'train_dataloader.batch_size': 2,
        'train_cfg.max_iters': 4,
        'train_cfg.val_interval': 4,
        'default_hooks.checkpoint.interval': 4,
        'visualizer.vis_backends': [
            dict(type='LocalVisBackend'),
            dict(type='TensorboardVisBackend'),
        ],
    }
    states = []
    for name, more in (
        ('plain', {}),
        (
            'watched',
            {
                'default_hooks.nodes.type': 'NodeVisualizationHook',
                'default_hooks.nodes.interval': 2,
                'default_hooks.nodes.samples': 2,
            },
        ),
    ):
        cfg = load_config(CONFIG, options | more, work_dir=str(folder / name))
        states.append(train(cfg, seed=0).model.state_dict())
    (run,) = (folder / 'watched').glob('*/vis_data')
    return run, states


def test_training_does_not_change(recorded):
    _, (plain, seen) = recorded
    for key, value in plain.items():
        assert torch.equal(value, seen[key]), key


def test_images_on_disk(recorded):
    run, _ = recorded
    names = sorted(path.name for path in (run / 'vis_image').iterdir())
    assert names == [
        f'nodes_decode_head.units.0_{sample}_{step}.png'
        for sample in (0, 1)
        for step in (0, 2, 4)
    ]
    first, last = (
        np.asarray(Image.open(run / 'vis_image' / names[i]), int) for i in (0, 2)
    )
    assert first.shape == last.shape
    assert np.abs(first - last).max() > 0


def test_scalars(recorded):
    run, _ = recorded
    lines = [json.loads(line) for line in (run / 'scalars.json').open()]
    name = 'nodes/decode_head.units.0'
    found = [line for line in lines if f'{name}/added' in line]
    assert [line['step'] for line in found] == [0, 2, 4]
    assert found[0][f'{name}/added'] == found[0][f'{name}/closing'] == 0  # the identity
    assert found[-1][f'{name}/added'] > 0
    assert found[-1][f'{name}/closing'] > 0
    for line in found:
        assert 0 < line[f'{name}/entropy'] <= 1
        assert 0 <= line[f'{name}/dead'] < 4


def test_tensorboard_has_images_and_scalars(recorded):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    run, _ = recorded
    events = EventAccumulator(str(run), size_guidance=dict(images=0, scalars=0))
    events.Reload()
    name = 'nodes/decode_head.units.0/added'
    assert [event.step for event in events.Scalars(name)] == [0, 2, 4]
    images = events.Images('nodes_decode_head.units.0_1')
    assert [event.step for event in images] == [0, 2, 4]


@pytest.mark.slow
def test_a_segmentor_in_windows_shows_the_maps_of_the_whole_image(mini, tmp_path):
    sheets = []
    windows = dict(mode='slide', crop_size=(32, 32), stride=(32, 32))
    for name, test_cfg in (('whole', dict(mode='whole')), ('windows', windows)):
        options = {
            'data_root': str(mini),
            'model.decode_head.channels': 16,
            'model.auxiliary_head.channels': 16,
            'model.test_cfg': test_cfg,
            'train_dataloader.batch_size': 2,
            'train_cfg.max_iters': 1,
            'default_hooks.nodes.type': 'NodeVisualizationHook',
            'default_hooks.nodes.samples': 1,
        }
        cfg = load_config(CONFIG, options, work_dir=str(tmp_path / name))
        model = train(cfg, seed=0).model
        assert model.test_cfg.mode == test_cfg['mode']
        (picture,) = (tmp_path / name).rglob('nodes_decode_head.units.0_0_0.png')
        sheets.append(np.asarray(Image.open(picture)))
    np.testing.assert_array_equal(*sheets)
