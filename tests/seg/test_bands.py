"""Images with many bands: files, windows, the stem, pictures, tools."""

import sys
from pathlib import Path

import numpy as np
import pytest
import rasterio
import tifffile
import torch
from mmengine.registry import MODELS
from PIL import Image
from squares import write_squares

from glore_mm.apis.export import export, input_normalization
from glore_mm.apis.infer import infer
from glore_mm.apis.test import add_test_outputs
from glore_mm.apis.test import test as run_test
from glore_mm.apis.train import train
from glore_mm.apis.visualize import visualize_nodes
from glore_mm.config.load import load_config
from glore_mm.engine.transforms import LoadBands
from glore_mm.models.bands import inflate_bands
from glore_mm.seg.transforms import LoadSegLabels
from glore_mm.utils.errors import UnreadableSampleError, UserError

VALUES = np.arange(6 * 20 * 30, dtype=np.uint16).reshape(20, 30, 6)


def write_geotiff(path, values):
    height, width, count = values.shape
    with rasterio.open(
        path, 'w', driver='GTiff', height=height, width=width, count=count,
        dtype=values.dtype, compress='lzw',
    ) as file:  # fmt: skip
        file.write(values.transpose(2, 0, 1))


GREY = dict(photometric='minisblack')
WRITE = {
    'planes.tif': lambda path: tifffile.imwrite(
        path,
        VALUES.transpose(2, 0, 1),
        photometric='minisblack',
        planarconfig='separate',
    ),
    'pixels.tif': lambda path: tifffile.imwrite(
        path, VALUES, photometric='minisblack', planarconfig='contig'
    ),
    'geo.TIFF': lambda path: write_geotiff(path, VALUES),
    'a.npy': lambda path: np.save(path, VALUES),
    'first.npy': lambda path: np.save(path, VALUES.transpose(2, 0, 1)),
}


def load(path, **kwargs):
    return LoadBands(bands=6, **kwargs)(dict(img_path=str(path)))


@pytest.mark.filterwarnings('ignore::rasterio.errors.NotGeoreferencedWarning')
@pytest.mark.parametrize('reader', ['rasterio', 'tifffile'])
@pytest.mark.parametrize('name', WRITE)
def test_all_bands_are_read(name, reader, tmp_path, monkeypatch):
    WRITE[name](tmp_path / name)
    if reader == 'tifffile':
        monkeypatch.setitem(sys.modules, 'rasterio', None)
        if name == 'geo.TIFF':  # compressed
            pytest.importorskip('imagecodecs')
    found = load(tmp_path / name)
    assert found['img'].dtype == np.float32
    np.testing.assert_array_equal(found['img'], VALUES)
    assert found['img_shape'] == found['ori_shape'] == (20, 30)

    np.random.seed(0)
    windows = [load(tmp_path / name, window=(8, 9)) for _ in range(20)]
    assert len({found['window'] for found in windows}) > 10
    for found in windows:
        top, left, height, width = found['window']
        assert (height, width) == found['ori_shape'] == (8, 9)
        expected = VALUES[top : top + 8, left : left + 9]
        np.testing.assert_array_equal(found['img'], expected)
    assert load(tmp_path / name, window=(100, 5))['img'].shape == (20, 5, 6)


@pytest.mark.filterwarnings('ignore::rasterio.errors.NotGeoreferencedWarning')
@pytest.mark.parametrize('name', ['a.npy', 'a.tif'])
def test_missing_values(name, tmp_path):
    values = VALUES.astype(np.float32)
    values[3, 4, 1], values[5, 6] = np.inf, np.nan
    path = tmp_path / name
    (np.save if name == 'a.npy' else write_geotiff)(path, values)
    with pytest.raises(UnreadableSampleError, match='7 values that are NaN or infin'):
        load(path)
    expected = np.where(np.isfinite(values), values, -1)
    np.testing.assert_array_equal(load(path, fill=-1)['img'], expected)


def test_labels_of_a_window(tmp_path):
    np.save(tmp_path / 'a.npy', VALUES)
    labels = (VALUES[..., 0] // 6 % 250).astype(np.uint8)
    Image.fromarray(labels).save(tmp_path / 'a.png')
    found = load(tmp_path / 'a.npy', window=(8, 9))
    found.update(seg_map_path=str(tmp_path / 'a.png'), seg_fields=[])
    found = LoadSegLabels()(found)
    np.testing.assert_array_equal(found['gt_seg_map'], found['img'][..., 0] // 6 % 250)
    Image.fromarray(labels[:10]).save(tmp_path / 'a.png')
    with pytest.raises(
        UserError, match=r'a.png has 30×10 pixels, but its image .* 30×'
    ):
        LoadSegLabels()(found)


def test_pictures_show_three_bands(tmp_path):
    np.save(tmp_path / 'a.npy', VALUES)
    picture = LoadBands(bands=6, rgb=(5, 0, 3)).picture(str(tmp_path / 'a.npy'))
    assert (picture.mode, picture.size) == ('RGB', (30, 20))
    shown = np.asarray(picture, int)
    assert (shown.min(), shown.max()) == (0, 255)
    assert (np.diff(shown.reshape(-1, 3), axis=0) >= 0).all()  # as the values


@pytest.mark.filterwarnings('ignore::rasterio.errors.NotGeoreferencedWarning')
def test_errors(tmp_path, monkeypatch):
    np.save(tmp_path / 'a.npy', VALUES[..., :5])
    write_geotiff(tmp_path / 'a.tif', VALUES[..., :4])
    (tmp_path / 'b.tif').write_bytes(b'no image')
    for name, message in (
        ('a.npy', r'a.npy: has the shape \(20, 30, 5\), but the config expects 6 band'),
        (
            'a.tif',
            r'a.tif: has 4 band\(s\), but the config expects 6 .* bands of Lo',
        ),
        ('b.tif', 'b.tif: cannot be read as an image with bands: '),
        ('c.tif', 'c.tif: no such file'),
    ):
        with pytest.raises(UnreadableSampleError, match=message):
            load(tmp_path / name)
    with pytest.raises(UserError, match='rgb of LoadBands must be three indices'):
        LoadBands(bands=6, rgb=(4, 5, 6))
    for module in ('rasterio', 'tifffile'):
        monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(UserError, match='pip install rasterio'):
        load(tmp_path / 'a.tif')


@pytest.mark.parametrize('kind', ['ResNetV1c', 'ResNet'])
def test_the_stem_is_inflated_from_three_bands(kind):
    plain = dict(type=f'mmseg.{kind}', depth=18, base_channels=8, stem_channels=8)
    state = MODELS.build(plain).state_dict()
    cfg = dict(type='WithBands', bands=5, rgb=(3, 2, 0), backbone=plain)
    net = MODELS.build(cfg)
    name = next(iter(state))
    net.load_state_dict(state)
    weight = state[name]
    expected = weight.mean(1, keepdim=True).repeat(1, 5, 1, 1)
    for band, color in ((3, 0), (2, 1), (0, 2)):
        expected[:, band] = weight[:, color]
    torch.testing.assert_close(net.state_dict()[name], expected * 3 / 5)
    again = MODELS.build(cfg)
    again.load_state_dict(net.state_dict())  # of as many bands: unchanged
    assert torch.equal(again.state_dict()[name], net.state_dict()[name])
    # an image whose bands are all alike gives what the network for three bands gives
    flat = torch.rand(2, 1, 8, 8)
    conv, inflated = weight, inflate_bands(weight, 7)
    torch.testing.assert_close(
        torch.conv2d(flat.expand(-1, 7, -1, -1), inflated),
        torch.conv2d(flat.expand(-1, 3, -1, -1), conv),
    )
    with pytest.raises(ValueError, match='rgb must be three indices from 0 to 4'):
        MODELS.build(dict(cfg, rgb=(3, 4, 5)))


CONFIG = """
_base_ = 'glore_mm::seg/glore_r18_custom.py'
load = dict(type='LoadBands', bands=5, rgb=(0, 1, 2))
train_pipeline = [
    dict(load, window=(40, 40)),
    dict(type='LoadSegLabels'),
    dict(type='RandomCrop', crop_size=(32, 32)),
    dict(type='RandomFlip', prob=0.5),
    dict(type='PackSegInputs')]
test_pipeline = [load, dict(type='LoadSegLabels'), dict(type='PackSegInputs')]
own = dict(data_root='fields', img_suffix='.tif', classes=['ground', 'square'])
serial = dict(num_workers=0, persistent_workers=False)
train_dataloader = dict(
    batch_size=2, dataset=dict(pipeline=train_pipeline, **own), **serial)
val_dataloader = dict(dataset=dict(pipeline=test_pipeline, **own), **serial)
test_dataloader = val_dataloader
del own, serial, load
heads = dict(in_channels=64, channels=16, num_nodes=8), dict(in_channels=32, channels=8)
model = dict(
    data_preprocessor=dict(
        size=(32, 32), bgr_to_rgb=False, mean=[9000.] * 5, std=[8000.] * 5),
    backbone=dict(
        _delete_=True, type='WithBands', bands=5, rgb=(0, 1, 2),
        backbone=dict(_base_.model.backbone, stem_channels=8, base_channels=8)),
    decode_head=heads[0], auxiliary_head=heads[1])
del heads
train_cfg = dict(max_iters=2, val_interval=2)
default_hooks = dict(
    checkpoint=dict(interval=2), nodes=dict(type='NodeVisualizationHook', samples=1))
"""


@pytest.mark.slow
@pytest.mark.filterwarnings('ignore::rasterio.errors.NotGeoreferencedWarning')
def test_tools(tmp_path, monkeypatch):
    """Training on windows, test with pictures, inference, nodes and export."""
    write_squares(tmp_path / 'fields')
    (tmp_path / 'fields/img').rename(tmp_path / 'fields/images')
    (tmp_path / 'fields/ann').rename(tmp_path / 'fields/masks')
    for path in (tmp_path / 'fields/images').rglob('*.png'):
        values = np.array(Image.open(path)).astype(np.uint16) * 100
        values = np.concatenate([values, values[..., :2]], axis=2)
        write_geotiff(path.with_suffix('.tif'), values)
        path.unlink()
    (tmp_path / 'fields_bands.py').write_text(CONFIG)
    monkeypatch.chdir(tmp_path)
    train(load_config('fields_bands.py'), seed=0)
    checkpoint = 'work_dirs/fields_bands/iter_2.pth'
    assert list(Path('work_dirs').rglob('nodes_*.png'))
    cfg = load_config('fields_bands.py')
    add_test_outputs(cfg, show_dir='shown')
    run_test(cfg, checkpoint)
    assert run_test(load_config('fields_bands.py'), checkpoint, tta=True)['aAcc'] > 0
    assert len(list((tmp_path / 'shown').rglob('*.png'))) == 4
    cfg, image = load_config('fields_bands.py'), 'fields/images/val/p0.tif'
    (found,) = infer(cfg, checkpoint, [image], 'out')
    assert found['classes']
    Path('npy').mkdir()
    with rasterio.open(image) as file:
        np.save('npy/p0.npy', file.read())
    (same,) = infer(cfg, checkpoint, ['npy'])  # found by its ending
    assert same['classes'] == found['classes']
    assert Image.open('out/p0_overlay.jpg').size == (64, 48)
    (found,) = visualize_nodes(cfg, checkpoint, [image], 'nodes')
    assert found['files'][0].is_file()
    exported = export(cfg, checkpoint, 'torchscript')
    assert exported.metadata['channels'] == 'bands'
    assert len(exported.metadata['mean']) == 5
    cfg.model.data_preprocessor.update(mean=None, std=None)
    assert input_normalization(cfg) == ('bands', [0] * 5, [1] * 5)
