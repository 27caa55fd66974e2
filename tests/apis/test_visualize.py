"""Visualization of projections: images, the page in a browser, all three tasks."""

import re

import av
import numpy as np
import pytest
import torch
from mmcv.transforms import Compose
from paths import ROOT
from PIL import Image

from glore_mm.apis.visualize import visualize_nodes
from glore_mm.cls.task import TASK
from glore_mm.config.build import build_model
from glore_mm.config.load import load_config
from glore_mm.engine.weights import load_network
from glore_mm.synthetic.mini_imagenet import write_mini_imagenet
from glore_mm.synthetic.mini_kinetics import write_mini_kinetics
from glore_mm.unit import GloRe
from glore_mm.utils.errors import UserError
from glore_mm.visualization.capture import capture
from glore_mm.visualization.nodes import NodeView, plot_nodes
from glore_mm.visualization.projections import projection_maps, rank_nodes

CONFIGS = ROOT / 'configs'
VIEW = "document.getElementById('view').toDataURL()"  # the displayed image
SMALL = {
    'cls/glore_mini.py': {
        'model.backbone.backbone.base_channels': 4,
        'model.head.in_channels': 128,
    },
    'seg/glore_mini.py': {'model.decode_head.channels': 16},
}


@pytest.fixture(scope='session')
def photograph(tmp_path_factory):
    root = tmp_path_factory.mktemp('data') / 'mini'
    write_mini_imagenet(root, num_train=10, num_val=10, scale=0.3)
    return min(root.glob('val/*/*'))


@pytest.fixture(scope='session')
def clip(tmp_path_factory):
    root = tmp_path_factory.mktemp('data') / 'mini'
    write_mini_kinetics(root, num_train=4, num_val=4, scale=0.3)
    return min(root.rglob('*.mp4'))


@pytest.fixture
def network(tmp_path):
    """Config, checkpoint with random trained weights, and network."""

    def make(name, **options):
        path = str(CONFIGS / name)
        options = {**SMALL.get(name, {}), **options}
        torch.manual_seed(0)
        cfg = load_config(path, options)
        model = build_model(cfg).eval()
        for module in model.modules():
            if isinstance(module, GloRe):
                torch.nn.init.ones_(getattr(module.blocker, 'weight', torch.ones(1)))
        file = tmp_path / 'weights.pth'
        about = {}  # for some data sets the classes are in the config
        if 'mini' in name and 'decode_head' not in cfg.model:
            head = cfg.model.get('head') or cfg.model.cls_head
            about = dict(classes=[f'class {i}' for i in range(head.num_classes)])
        content = dict(meta=dict(dataset_meta=about))
        torch.save(dict(content, state_dict=model.state_dict()), file)
        return load_config(path, options), str(file), model

    return make


def video_of(pictures, path):
    with av.open(str(path), 'w') as file:
        stream = file.add_stream('libx264', rate=8)
        stream.width, stream.height = pictures[0].size
        for picture in pictures:
            file.mux(stream.encode(av.VideoFrame.from_image(picture)))
        file.mux(stream.encode())


@pytest.mark.slow
def test_the_tool(tool, network, photograph, tmp_path, opened):
    cfg, checkpoint, model = network('cls/glore_mini.py')
    options = [f'{k}={v}' for k, v in SMALL['cls/glore_mini.py'].items()]
    done = tool('visualize_nodes', CONFIGS / 'cls' / 'glore_mini.py', checkpoint,
                photograph, '--out-dir', 'out', '--top', 3, '--cfg-options', *options,
                cwd=tmp_path)  # fmt: skip
    units = ['backbone.layer2.0.glore', 'backbone.layer3.0.glore']
    stem = photograph.stem
    written = [f'{stem}.html']
    written += [f'{stem}_{unit}{end}.png' for unit in units for end in ('', '_all')]
    assert {path.name for path in (tmp_path / 'out').iterdir()} == set(written)
    lines = done.stdout.splitlines()[1:]
    shown = re.fullmatch(
        rf'{photograph}: {units[0]}, 1×(\d+)×(\d+): nodes (\d+) \(\d+%\), .*', lines[0]
    )
    assert lines[1].startswith(f'{photograph}: {units[1]}, ')
    assert lines[2] == f'written: {", ".join(f"out/{name}" for name in written)}'

    # compare the page with the network itself
    given = {}
    ask = TASK.predictor(cfg, *load_network(cfg, checkpoint))
    ask.model.data_preprocessor.register_forward_hook(
        lambda module, args, output: given.update(output)
    )
    ask.predict(str(photograph))
    maps = projection_maps(model, given['inputs'])[units[0]].maps[0]
    assert maps.shape[1:] == tuple(int(shown[i]) for i in (1, 2))
    order, _ = rank_nodes(maps)
    assert int(shown[3]) == order[0]

    page = opened(tmp_path / 'out' / f'{stem}.html')
    page.wait_for_function('document.getElementById("place").textContent')
    view = page.locator('#view')
    caption = page.locator('#node-caption')
    first = page.evaluate(VIEW)
    assert f'node {order[0]}, rank 1 of {len(maps)}' in caption.inner_text()

    page.locator('#node').press('ArrowRight')  # moves the slider
    assert f'node {order[1]}, rank 2 of {len(maps)}' in caption.inner_text()
    assert page.evaluate(VIEW) != first

    box = view.bounding_box()
    for y, x in ((1, 2), (3, 0)):
        before = page.locator('#place').inner_text()
        height, width = maps.shape[1:]
        view.hover(position=dict(
            x=(x + 0.5) * box['width'] / width, y=(y + 0.5) * box['height'] / height
        ))  # fmt: skip
        assert page.locator('#place').inner_text() != before
        assert f'row {y}, column {x} of' in page.locator('#place').inner_text()
        labels, values = page.evaluate(
            '[charts.place.data.labels, charts.place.data.datasets[0].data]'
        )
        shown_nodes = [int(label.split()[1]) for label in labels]
        step = np.abs(maps).max(axis=(1, 2)) / 127  # rounding of the page
        here = maps[:, y, x]
        assert (np.abs(values - here[shown_nodes]) <= step[shown_nodes]).all()
        least = np.sort(np.abs(here))[-len(labels)]
        assert (np.abs(here[shown_nodes]) >= least - step.max()).all()
        assert page.locator('#sources button').count() == 4

    page.locator('#all button').nth(2).click()
    assert f'node {order[2]}, rank 3 of' in caption.inner_text()
    page.locator('input[value=strongest]').check()
    assert 'node' in page.locator('#legend').inner_text()
    page.locator('#unit').select_option(index=1)
    page.wait_for_function('unit.name.includes("layer3")')
    unit = model.backbone.layer3[0].glore
    assert page.locator('#all button').count() == unit.num_nodes


def test_the_page_fits_a_phone_screen(network, photograph, tmp_path, opened):
    cfg, checkpoint, _ = network('cls/glore_mini.py')
    list(visualize_nodes(cfg, checkpoint, [str(photograph)], str(tmp_path / 'out')))
    page = opened(tmp_path / 'out' / f'{photograph.stem}.html', width=390)
    page.wait_for_function('document.getElementById("place").textContent')
    assert page.evaluate('document.documentElement.scrollWidth') <= 390


def test_the_figure_of_the_paper(network, photograph, tmp_path):
    """ResNet-18, one unit of 128 nodes in the middle of Res4, 512×512, four maps."""
    cfg, checkpoint, _ = network('cls/glore_r18_512_imagenet.py')
    (found,) = visualize_nodes(
        cfg, checkpoint, [str(photograph)], str(tmp_path / 'out')
    )
    page, figure, _ = found['files']
    assert page.stat().st_size < 10e6
    assert (
        Image.open(figure).width == 6 * 512 + 5 * 4
    )  # the input, four maps, the strongest nodes
    (unit,) = found['units'].values()
    assert unit['size'] == (1, 32, 32)
    assert len(unit['nodes']) == 4


def test_segmentation(network, mini, tmp_path):
    """An image and frames of a video; their maps are those of the frames as images."""
    options = {
        'model.test_cfg': dict(mode='slide', crop_size=(32, 32), stride=(16, 16))
    }
    cfg, checkpoint, _ = network('seg/glore_mini.py', **options)
    images = sorted((mini / 'leftImg8bit').rglob('*.png'))[:4]
    video_of([Image.open(path).convert('RGB') for path in images], tmp_path / 'x.mp4')
    inputs = [str(images[0]), str(tmp_path / 'x.mp4')]
    still, moving = visualize_nodes(
        cfg, checkpoint, inputs, str(tmp_path / 'out'), unit='units.0', frames=3
    )
    (name,) = still['units']
    assert name == 'decode_head.units.0'
    assert still['units'][name]['size'][0] == 1
    assert moving['units'][name]['size'] == (3, *still['units'][name]['size'][1:])


def test_video(network, clip, tmp_path, opened):
    cfg, checkpoint, _ = network('video/glore_mini.py')
    out = tmp_path / 'out'
    (found,) = visualize_nodes(
        cfg, checkpoint, [str(clip)], str(out), unit='layer3.0.glore'
    )
    (size,) = [unit['size'] for unit in found['units'].values()]
    assert len(size) == 3
    page = opened(out / f'{clip.stem}.html')
    page.wait_for_function('document.getElementById("place").textContent')
    first = page.evaluate(VIEW)
    page.locator('#frame').press('ArrowRight')
    assert page.evaluate(VIEW) != first
    assert page.locator('#frame-label').inner_text() == 'frame 1'


def test_the_frames_are_the_preprocessed_input(network, photograph, tmp_path):
    cfg, checkpoint, _ = network('cls/glore_mini.py')
    ask = TASK.predictor(cfg, *load_network(cfg, checkpoint))
    seen = capture(ask.model, lambda: ask.predict(str(photograph)))
    prepare = Compose(cfg.test_dataloader.dataset.pipeline[:-1])
    expected = prepare(dict(img_path=str(photograph)))['img'][..., ::-1]
    assert np.abs(seen.frames[0].astype(int) - expected).max() <= 1


def test_wrong_arguments(network, photograph, tmp_path):
    cfg, checkpoint, _ = network('cls/glore_mini.py')
    out = tmp_path / 'out'

    def refused(message, cfg=cfg, checkpoint=checkpoint, path=str(photograph), **more):
        with pytest.raises(UserError, match=message):
            list(visualize_nodes(cfg, checkpoint, [path], str(out), **more))

    refused('--unit layer9: no unit of that name; there are backbone.layer2.0.glore, ',
            unit='layer9')  # fmt: skip
    refused('--top-k must be at least 1, got 0', top_k=0)
    refused('--frames must be at least 1, got 0', frames=0)
    (tmp_path / 'bad.png').write_bytes(photograph.read_bytes()[:300])
    refused('bad.png: cannot be read as an image', path=str(tmp_path / 'bad.png'))
    assert not list(out.iterdir())
    cfg, checkpoint, _ = network('cls/plain_mini.py')
    refused('ImageClassifier has no GloRe unit', cfg=cfg, checkpoint=checkpoint)


def test_a_figure_shows_the_maps():
    """The heatmap matches the map: red for positive, blue for negative values."""
    frames = np.full((1, 200, 200, 3), 128, np.uint8)
    maps = np.zeros((3, 1, 4, 4), np.float32)
    maps[1, 0, 0, 0], maps[1, 0, 3, 3] = 2, -2
    sheet = np.asarray(plot_nodes(frames, NodeView(maps, np.eye(3)), top_k=1), int)
    tile = sheet[16:216, 204:404]
    red, _, blue = tile[10, 10]
    assert red > blue + 50
    red, _, blue = tile[190, 190]
    assert blue > red + 50
    assert (tile[100, 10] == 128).all()


def test_maps_of_a_wide_input_are_below_each_other():
    frames = np.full((1, 64, 640, 3), 128, np.uint8)
    maps = np.random.default_rng(0).normal(size=(6, 1, 8, 80))
    sheet = plot_nodes(frames, NodeView(maps, np.eye(6)))
    assert sheet.width == 2 * 550  # the two images of the graph
    assert sheet.height > 6 * 64
