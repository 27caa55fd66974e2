"""Segmentation in windows that share their nodes, by all tools."""

import copy
import sys
from pathlib import Path

import numpy as np
import pytest
import rasterio
import torch
from PIL import Image
from squares import write_project

from glore_mm.apis.export import input_normalization
from glore_mm.apis.infer import infer, load_predictor
from glore_mm.apis.test import test as run_test
from glore_mm.checkpoints.files import write_checkpoint
from glore_mm.config.build import build_model
from glore_mm.config.load import load_config
from glore_mm.utils.errors import UserError

SLIDE = dict(mode='slide', crop_size=(32, 32), stride=(24, 20))
GLOBAL = dict(SLIDE, mode='global_slide')
CONFIG = """
_base_ = './base.py'
pipeline = [dict(type=t) for t in ('LoadImage', 'LoadSegLabels', 'PackSegInputs')]
test_dataloader = dict(dataset=dict(pipeline=pipeline))
model = dict(
    backbone=dict(
        _delete_=True,
        type='WithGloRe',
        backbone=_base_.model.backbone,
        placement={'layer3': 1},
        unit=dict(num_states=8, num_nodes=4, normalize=True),
    ),
    test_cfg=dict(_delete_=True, **TEST_CFG),
)
"""


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A network with units in backbone and head, and random weights that matter."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, 'path', [*sys.path])
    write_project(tmp_path)
    torch.manual_seed(0)
    model = build_model(load(GLOBAL))
    for name, value in model.state_dict().items():
        if '.glore.' in name and value.is_floating_point():
            value.normal_(std=0.2)
        if name.endswith(('running_var', 'blocker.weight')):
            value.fill_(1)
    write_checkpoint(dict(state_dict=model.state_dict()), 'w.pth')
    return tmp_path


def load(test_cfg):
    Path('windows.py').write_text(CONFIG.replace('TEST_CFG', repr(test_cfg)))
    return load_config('windows.py')


def image(height, width):
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)


def write_tiff(path, rgb, **options):
    height, width, _ = rgb.shape
    with rasterio.open(
        path, 'w', driver='GTiff', height=height, width=width, count=3,
        dtype='uint8', photometric='RGB', **options,
    ) as file:  # fmt: skip
        file.write(rgb.transpose(2, 0, 1))
    return str(path)


def logits_of(test_cfg, x):
    model = load_predictor(load(test_cfg), 'w.pth').model
    with torch.no_grad():
        return model.inference(x, [dict(ori_shape=x.shape[2:], img_shape=x.shape[2:])])


def test_one_window_is_the_whole_image(project):
    x = torch.randn(2, 3, 64, 96)
    whole = logits_of(dict(mode='whole'), x)
    window = dict(GLOBAL, crop_size=(64, 96), stride=(64, 96))
    torch.testing.assert_close(logits_of(window, x), whole, rtol=0, atol=1e-5)


@pytest.mark.parametrize('cache', ['memory', 'disk'])
def test_a_cache_changes_no_result(cache, project):
    x = torch.randn(1, 3, 64, 96)
    expected = logits_of(GLOBAL, x)
    found = logits_of(dict(GLOBAL, cache=cache), x)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)
    assert (logits_of(SLIDE, x) - expected).abs().max() > 1e-4


def test_a_distant_change_reaches_all_windows(project):
    """Windows without overlap: a change in one of them changes the others."""
    x = torch.randn(1, 3, 32, 128)
    changed = x.clone()
    changed[..., :32] += 3
    for test_cfg, reaches in ((SLIDE, False), (GLOBAL, True)):
        cfg = dict(test_cfg, stride=(32, 32))
        difference = (logits_of(cfg, changed) - logits_of(cfg, x)).abs()[..., 96:]
        assert (difference.max() > 1e-5) == reaches


@pytest.mark.filterwarnings('ignore::rasterio.errors.NotGeoreferencedWarning')
@pytest.mark.parametrize('test_cfg', [SLIDE, GLOBAL])
def test_files_are_segmented_by_windows(test_cfg, project, monkeypatch):
    rgb = image(150, 90)
    Image.fromarray(rgb).save('a.png')
    write_tiff('b.tif', rgb, tiled=True, blockxsize=16, blockysize=16)
    write_tiff('c.tif', rgb)
    predictor = load_predictor(load(test_cfg), 'w.pth')
    expected = predictor.predict(rgb)  # an array is predicted as one batch
    assert len(np.unique(expected)) == 2
    for name in ('a.png', 'b.tif', 'c.tif'):
        np.testing.assert_array_equal(predictor.predict(name), expected)

    monkeypatch.setattr('glore_mm.seg.task._OVERLAY_SIDE', 60)
    found = list(infer(load(test_cfg), 'w.pth', ['a.png', 'b.tif'], 'out'))
    shares = np.bincount(expected.ravel()) / expected.size
    for each in found:
        scores = {c['label']: c['score'] for c in each['classes']}
        assert scores == pytest.approx(
            dict(zip(('ground', 'square'), shares, strict=True)), abs=1e-4
        )
    for name in ('a', 'b'):
        np.testing.assert_array_equal(Image.open(f'out/{name}.png'), expected)
        assert Image.open(f'out/{name}_overlay.jpg').height in (50, 60)


@pytest.mark.filterwarnings('ignore::rasterio.errors.NotGeoreferencedWarning')
def test_a_tiled_image_is_not_read_as_a_whole(project, monkeypatch):
    """It has more pixels than Pillow opens."""
    monkeypatch.setattr(Image, 'MAX_IMAGE_PIXELS', 1000)
    rgb = image(90, 90)
    path = write_tiff('b.tif', rgb, tiled=True, blockxsize=32, blockysize=32)
    assert next(infer(load(GLOBAL), 'w.pth', [path]))['classes']
    path = write_tiff('c.tif', rgb)
    (found,) = infer(load(GLOBAL), 'w.pth', [path])
    assert 'c.tif' in found['error'] and 'tiled TIFF' in found['error']


@pytest.mark.filterwarnings('ignore::rasterio.errors.NotGeoreferencedWarning')
def test_three_bands_keep_the_order_of_the_file(project):
    """In files, arrays and exports, and with TTA; other loaders read BGR."""
    cfg = load(GLOBAL)
    cfg.test_dataloader.dataset.pipeline[0] = dict(type='LoadBands', bands=3)
    rgb = image(90, 90)
    predictor = load_predictor(cfg, 'w.pth')
    path = write_tiff('b.tif', rgb)
    expected = predictor.predict(path)
    np.testing.assert_array_equal(predictor.predict(rgb), expected)
    of_bgr = load_predictor(load(GLOBAL), 'w.pth').predict(rgb[..., ::-1].copy())
    np.testing.assert_array_equal(of_bgr, expected)
    assert input_normalization(cfg)[0] == 'bands'
    for path in Path('data/img/val').iterdir():
        write_tiff(path.with_suffix('.tif'), np.asarray(Image.open(path)))
        path.unlink()
    views = [[dict(type='LoadSegLabels')], [dict(type='PackSegInputs')]]
    cfg.tta_pipeline = [
        dict(type='LoadImage'),
        dict(type='TestTimeAug', transforms=views),
    ]
    assert run_test(copy.deepcopy(cfg), 'w.pth', tta=True) == run_test(cfg, 'w.pth')


@pytest.mark.parametrize(
    ('options', 'shape'),
    [({}, (60, 90)), (dict(color_type='color_ignore_orientation'), (90, 60))],
)
def test_inference_loads_images_as_the_test_does(options, shape, project):
    cfg = load(SLIDE)
    loader = dict(type='LoadImageFromFile', **options)
    cfg.test_dataloader.dataset.pipeline[0] = loader
    turned = Image.Exif()
    turned[0x0112] = 6  # to be displayed rotated by 90 degrees
    Image.fromarray(image(90, 60)).save('a.jpg', exif=turned)
    assert load_predictor(cfg, 'w.pth').predict('a.jpg').shape == shape


@pytest.mark.parametrize('tta', [False, True])
def test_test(tta, project):
    cfg = load(GLOBAL)
    metrics = run_test(cfg, 'w.pth', tta=tta)
    assert set(metrics) >= {'aAcc', 'mIoU', 'mAcc'}


@pytest.mark.slow
def test_the_tools(tool, project):
    load(dict(GLOBAL, cache='memory'))
    tool('train', 'windows.py', cwd=project)
    checkpoint = 'work_dirs/windows/iter_4.pth'
    tool('test', 'windows.py', checkpoint, '--tta', cwd=project)
    done = tool('infer', 'windows.py', checkpoint, 'data/img/val', cwd=project)
    assert 'ground' in done.stdout


def test_infer_checks_the_mode(project):
    with pytest.raises(UserError, match=r'needs stride=\(height, width\) in pixels'):
        load_predictor(load(dict(mode='global_slide', crop_size=(32, 32))), 'w.pth')
