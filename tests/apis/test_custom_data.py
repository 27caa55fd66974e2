"""Own data with the configs `*_custom.py`: commands only, no Python."""

import re

import numpy as np
import pytest
import tifffile
import torch
from options import cfg_options
from PIL import Image
from squares import write_squares

from glore_mm.apis.infer import infer
from glore_mm.apis.train import check, train
from glore_mm.config.build import build_model
from glore_mm.config.load import load_config
from glore_mm.utils.errors import UserError

TINY = {
    'model.backbone.stem_channels': 8,
    'model.backbone.base_channels': 8,
    'model.decode_head.in_channels': 64,
    'model.decode_head.channels': 16,
    'model.auxiliary_head.in_channels': 32,
    'model.auxiliary_head.channels': 8,
    'model.data_preprocessor.size': (32, 32),
    'train_dataloader.dataset.pipeline.2.scale': (64, 48),
    'train_dataloader.dataset.pipeline.3.crop_size': (32, 32),
    'val_dataloader.dataset.pipeline.1.scale': (64, 48),
    'test_dataloader.dataset.pipeline.1.scale': (64, 48),
    'train_cfg.max_iters': 4,
    'train_cfg.val_interval': 4,
    'default_hooks.checkpoint.interval': 4,
}
CONFIG = 'glore_mm::seg/glore_r18_custom.py'


@pytest.fixture
def squares(tmp_path, monkeypatch):
    """`fields/images/<split>` and `fields/masks/<split>`, with masks of 0 and 1."""
    write_squares(tmp_path / 'fields')
    (tmp_path / 'fields/img').rename(tmp_path / 'fields/images')
    (tmp_path / 'fields/ann').rename(tmp_path / 'fields/masks')
    monkeypatch.chdir(tmp_path)
    return tmp_path


def load(**options):
    return load_config(CONFIG, {**TINY, 'data_root': 'fields', **options})


@pytest.mark.slow
def test_colour_masks_become_a_trained_network(squares, tool):
    (squares / 'fields/masks').rename(squares / 'fields/colors')
    for path in (squares / 'fields/colors').rglob('*.png'):
        colors = np.array([[0, 0, 0], [255, 0, 0]], np.uint8)
        Image.fromarray(colors[np.array(Image.open(path))]).save(path)
    (squares / 'colors.csv').write_text('name,r,g,b\nbare soil,0,0,0\ncrop,255,0,0\n')
    masks = ('fields/colors', 'fields/masks', '--palette', 'colors.csv')
    tool('masks_to_indices', *masks, cwd=squares)
    options = cfg_options({**TINY, 'data_root': 'fields'})
    tool('train', CONFIG, *options, cwd=squares)
    # the config in the work dir needs no options and no training data
    done = 'work_dirs/glore_r18_custom'
    config, checkpoint = f'{done}/glore_r18_custom.py', f'{done}/iter_4.pth'
    tested = tool('test', config, checkpoint, '--show-dir', 'shown', cwd=squares)
    assert re.search(r'\| bare soil +\| \d', tested.stdout)
    assert len(list((squares / 'shown').rglob('*.png'))) == 4
    (squares / 'fields/images/val').rename(squares / 'new')
    (squares / 'fields').rename(squares / 'moved')
    infer = ('infer', config, checkpoint, 'new', '--out-dir', 'out')
    assert 'bare soil' in tool(*infer, cwd=squares).stdout
    mask = Image.open(squares / 'out/p0.png')
    assert set(np.unique(mask)) <= {0, 1}
    assert mask.getpalette()[:6] == [0, 0, 0, 255, 0, 0]


@pytest.mark.parametrize(('form', 'channels'), [('softmax', 2), ('sigmoid', 1)])
def test_binary_masks_in_both_forms(squares, form, channels):
    for path in (squares / 'fields/masks').rglob('*.png'):
        Image.fromarray(np.array(Image.open(path)) * np.uint8(255)).save(path)
    cfg = load(binary=form, class_weights='median_frequency')
    check(cfg)
    model = build_model(cfg)
    assert (
        model.decode_head.out_channels == model.auxiliary_head.out_channels == channels
    )
    weights = cfg.model.decode_head.loss_decode.class_weight
    # 24 · 24 of 48 · 64 pixels are foreground
    assert weights[-1] / (weights[0] if channels == 2 else 1) == pytest.approx(
        48 * 64 / 24**2 - 1, rel=1e-3
    )
    data = dict(inputs=torch.rand(2, 3, 32, 32))
    sample = cfg.train_dataloader.dataset
    assert sample.classes == ['background', 'foreground']
    assert model(**data).shape[1] == channels


@pytest.mark.slow
def test_windows_of_tiffs(squares):
    for path in [*squares.glob('fields/images/*/*')]:
        image = np.array(Image.open(path).resize((96, 80)))
        tifffile.imwrite(path.with_suffix('.tif'), image, tile=(16, 16))
        path.unlink()
    for path in squares.glob('fields/masks/*/*'):
        Image.open(path).resize((96, 80), Image.Resampling.NEAREST).save(path)
    keys = ('train_cfg.max_iters', 'train_cfg.val_interval')
    options = {
        **{key: 2 for key in (*keys, 'default_hooks.checkpoint.interval')},
        'data_root': 'fields',
        'classes': ['soil', 'crop'],
        'train_dataloader.num_workers': 0,
        'train_dataloader.persistent_workers': False,
        'train_dataloader.dataset.pipeline.0.window': (64, 64),
        'model.data_preprocessor.size': (64, 64),
        'model.test_cfg.crop_size': (48, 48),
        'model.test_cfg.stride': (32, 32),
    }
    config = 'glore_mm::seg/glore_windows_r18_custom.py'
    train(load_config(config, options), seed=0)
    (path,) = squares.glob('work_dirs/*/iter_2.pth')
    found = infer(load_config(config, options), str(path), ['fields/images/val'], 'out')
    assert all('classes' in each for each in found)
    assert Image.open('out/p0.png').size == (96, 80)


def test_options_apply_to_all_data_sets(squares):
    cfg = load(classes=['a', 'b'], val_share=0.4)
    for loop in ('train', 'val', 'test'):
        dataset = cfg[f'{loop}_dataloader'].dataset
        assert (dataset.data_root, dataset.val_share) == ('fields', 0.4)
        assert list(dataset.classes) == ['a', 'b']
    with pytest.raises(UserError, match="split was given, .* have 2 values: 'train', "):
        load(split='val')


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (dict(binary='yes'), "binary is 'yes'; expected 'softmax' .* or 'sigmoid'"),
        (dict(class_weights=True, classes=['a', 'b']),
         "class_weights is True; expected 'median_frequency'"),
        (dict(), r'p0.png has no palette. Give classes=a,b,c'),
        (dict(data_root='nothing'), 'no masks in nothing/masks'),
    ],
)  # fmt: skip
def test_errors(squares, options, message):
    with pytest.raises(UserError, match=message):
        check(load(**options))
