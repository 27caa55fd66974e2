"""Exported files: their outputs, their metadata, and errors."""

import json
import resource
import sys
from itertools import product
from pathlib import Path

import pytest
import torch
from paths import ROOT

from glore_mm.apis import export as room
from glore_mm.apis.export import export
from glore_mm.checkpoints.files import write_checkpoint
from glore_mm.config.build import build_model
from glore_mm.config.load import load_config
from glore_mm.insertion import find_units
from glore_mm.seg import CityscapesFolders
from glore_mm.utils.errors import UserError

CONFIGS = ROOT / 'configs'
SMALL = {
    'cls': {'model.backbone.backbone.base_channels': 4, 'model.head.in_channels': 128},
    'seg': {
        'model.decode_head.channels': 16,
        'model.auxiliary_head.channels': 16,
        'model.data_preprocessor.size': (32, 64),
    },
    'video': {
        'model.backbone.backbone.base_channels': 4,
        'model.cls_head.in_channels': 128,
    },
}
CLASSES = dict(cls=10, seg=19, video=4)
CHECKED = dict(cls='1×3×80×80', seg='1×3×32×64', video='1×3×8×24×24')
SUFFIX = dict(onnx='.onnx', torchscript='.pt', pt2='.pt2')
QUICK = {('cls', 'onnx'), ('seg', 'pt2'), ('video', 'torchscript')}
PAIRS = [
    pytest.param(*pair, marks=() if pair in QUICK else pytest.mark.slow)
    for pair in product(CLASSES, SUFFIX)
]


def options(task, **more):
    return [f'{key}={value}' for key, value in {**SMALL[task], **more}.items()]


def eager(task, model, x):
    """Logits of the task's library in inference."""
    with torch.no_grad():
        if task == 'video':
            return model(x[:, None], stage='head')
        if task == 'seg':
            return model.encode_decode(x, [dict(img_shape=x.shape[2:])])
        return model(x)


@pytest.fixture(scope='session')
def network(tmp_path_factory):
    """Config, checkpoint and network of a task, with random trained weights."""
    folder = tmp_path_factory.mktemp('weights')

    def make(task, content=None):
        cfg = load_config(str(CONFIGS / task / 'glore_mini.py'), SMALL[task])
        torch.manual_seed(0)
        model = build_model(cfg)
        for unit in find_units(model).values():  # a new unit is the identity
            weight = getattr(unit.blocker, 'weight', None)
            torch.nn.init.normal_(unit.conv_extend.conv.weight if weight is None
                                  else weight, std=0.1)  # fmt: skip
        for layer in model.modules():
            if isinstance(layer, torch.nn.modules.batchnorm._BatchNorm):
                layer.momentum = 1.0
        x = torch.randn(4, 3, *((8, 48, 48) if task == 'video' else (64, 64)))
        eager(task, model.train(), x)  # let batch norms collect statistics
        file = folder / f'{task}.pth'
        classes = axes_of(task)
        meta = dict(dataset_meta=dict(classes=classes))
        write_checkpoint(dict(state_dict=model.state_dict(), meta=meta), str(file))
        return cfg, str(file), model.eval()

    return make


def axes_of(task):
    if task == 'seg':
        return list(CityscapesFolders.METAINFO['classes'])
    return [f'class {i}' for i in range(CLASSES[task])]


def read(path):
    """Read a file with its own library only; return a function and the metadata."""
    if path.suffix == '.onnx':
        from onnxruntime import InferenceSession

        session = InferenceSession(str(path))
        (given,), (result,) = session.get_inputs(), session.get_outputs()
        about = session.get_modelmeta().custom_metadata_map
        metadata = {key: json.loads(value) for key, value in about.items()}
        metadata['axes'] = given.name, given.shape, result.name, result.shape
        return (
            lambda x: torch.from_numpy(session.run(None, {given.name: x.numpy()})[0]),
            metadata,
        )
    extra = {'metadata.json': ''}
    if path.suffix == '.pt':
        run = torch.jit.load(path, _extra_files=extra)
    else:
        run = torch.export.load(path, extra_files=extra).module()
    return run, json.loads(extra['metadata.json'])


@pytest.mark.filterwarnings('ignore:`torch.jit:FutureWarning')
@pytest.mark.parametrize(('task', 'kind'), PAIRS)
def test_outputs_equal_eager(task, kind, network, tool, tmp_path):
    cfg, checkpoint, model = network(task)
    file = tmp_path / f'net{SUFFIX[kind]}'
    done = tool(
        'export', CONFIGS / task / 'glore_mini.py', checkpoint, '--format', kind,
        '--out', file, '--cfg-options', *options(task), cwd=tmp_path,
    )  # fmt: skip
    name = 'clips (batch, 3, frames, ' if task == 'video' else 'images (batch, 3, '
    assert f'written: {file} | {name}height, width) → logits (batch, ' in done.stdout
    assert f'largest difference to eager at {CHECKED[task]} and 2×3×' in done.stdout
    assert 'Warning' not in done.stderr.replace('UserWarning: GloRe', '')
    assert [path.name for path in tmp_path.iterdir()] == [file.name]

    run, metadata = read(file)
    frames = (8, 11) if task == 'video' else ((), ())
    for count, length, *size in ((1, frames[0], 33, 70), (3, frames[1], 64, 31)):
        length = (length,) if length else ()
        x = torch.randn(count, 3, *length, *size)
        expected, found = eager(task, model, x), run(x)
        assert found.shape == expected.shape
        assert (found - expected).abs().max() < 1e-4 * expected.abs().max()

    assert metadata['task'] == task
    assert metadata['channels'] == 'RGB'
    mean = cfg.get('data_preprocessor', cfg.model.get('data_preprocessor')).mean
    assert metadata['mean'] == list(mean)
    assert len(metadata['std']) == 3
    assert metadata['classes'] == axes_of(task)
    assert metadata['unit_orders'].keys() == find_units(model).keys()
    assert {*metadata['unit_orders'].values()} <= {'direct', 'reassociated'}
    if kind == 'onnx':
        sizes = ['frames'] * (task == 'video') + ['height', 'width']
        maps = ['height', 'width'] if task == 'seg' else []
        assert metadata['axes'] == (
            'clips' if task == 'video' else 'images',
            ['batch', 3, *sizes],
            'logits',
            ['batch', CLASSES[task], *maps],
        )


def test_units_use_the_cheaper_order_at_the_size(network, tmp_path):
    cfg, checkpoint, _ = network('cls')
    large = export(cfg, checkpoint, 'torchscript', str(tmp_path / 'a.pt'), (96, 96))
    small = export(cfg, checkpoint, 'torchscript', str(tmp_path / 'b.pt'), (32, 32))
    assert {*large.metadata['unit_orders'].values()} == {'reassociated'}
    assert {*small.metadata['unit_orders'].values()} == {'direct'}
    assert large.metadata['size'] == [96, 96]


def test_the_default_path_is_next_to_the_checkpoint(network):
    cfg, checkpoint, _ = network('cls')
    done = export(cfg, checkpoint, 'torchscript')
    assert done.path == checkpoint.removesuffix('h')
    Path(done.path).unlink()


def test_wrong_arguments(network, tmp_path):
    cfg, checkpoint, _ = network('cls')
    file, other = str(tmp_path / 'net.pt'), f'{checkpoint}.other'
    write_checkpoint(dict(state_dict=dict(weight=torch.ones(1))), other)
    for arguments, text in (
        ((checkpoint, 'tflite', file), "format 'tflite': expected one of onnx, "),
        ((checkpoint, 'pt2', checkpoint), 'would overwrite the checkpoint'),
        ((checkpoint, 'pt2', file, (0, 64)), '--size 0 64: both must be at least 1'),
        ((checkpoint, 'pt2', str(tmp_path)), 'is a folder: give a file with --out'),
        ((f'{tmp_path}/no.pth', 'pt2', file), 'no.pth'),
        (('https://x.org/a.pth', 'pt2'), 'is an address: give the output file'),
        ((other, 'pt2', file), 'is the checkpoint of another network'),
    ):
        with pytest.raises(UserError, match=text):
            export(cfg, *arguments)
    assert not list(tmp_path.iterdir())


def test_a_wrong_export_leaves_no_file(network, tmp_path, monkeypatch):
    """A network with a branch that a trace turns into a constant."""
    cfg, checkpoint, _ = network('cls')
    task = room.get_task(cfg)
    file = str(tmp_path / 'net.pt')

    def logits(model, images):
        return model(images) * int(images.shape[2])

    monkeypatch.setattr(task, 'logits', logits)
    with pytest.raises(UserError, match='gives other logits than eager: .*fixed-size'):
        export(cfg, checkpoint, 'torchscript', file)
    done = export(cfg, checkpoint, 'torchscript', file, fixed=True)
    assert done.axes == {'images': '(1, 3, 80, 80)', 'logits': '(1, 10)'}
    assert done.sizes == ['1×3×80×80'] * 2
    Path(file).unlink()
    monkeypatch.setattr(task, 'logits', lambda model, images: images.tolist()[0])
    with pytest.raises((UserError, AttributeError)):
        export(cfg, checkpoint, 'torchscript', file)
    assert not list(tmp_path.iterdir())


def test_an_input_size_that_the_network_does_not_take(network, tmp_path, monkeypatch):
    cfg, checkpoint, _ = network('cls')

    def logits(model, images):
        return model(images.unflatten(3, (-1, 32)).flatten(3))

    monkeypatch.setattr(room.get_task(cfg), 'logits', logits)
    with pytest.raises(UserError, match='takes no input of 1×3×32×40: .* --size'):
        export(cfg, checkpoint, 'pt2', str(tmp_path / 'net.pt2'), (32, 40))
    assert not list(tmp_path.iterdir())


def test_weights_with_infinite_outputs(network, tmp_path):
    cfg, _, model = network('cls')
    state = {key: value * float('nan') if value.is_floating_point() else value
             for key, value in model.state_dict().items()}  # fmt: skip
    file = str(tmp_path / 'weights.pth')
    meta = dict(dataset_meta=dict(classes=[str(i) for i in range(10)]))
    write_checkpoint(dict(state_dict=state, meta=meta), file)
    with pytest.raises(UserError, match='logits that are not finite, for noise'):
        export(cfg, file, 'pt2')
    assert [path.name for path in tmp_path.iterdir()] == ['weights.pth']


@pytest.mark.parametrize('package', ['onnx', 'onnxruntime', 'onnxscript'])
def test_missing_packages(package, network, monkeypatch, tmp_path):
    cfg, checkpoint, _ = network('cls')
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(UserError, match=r"pip install 'glore-mm\[export\]'"):
        export(cfg, checkpoint, 'onnx', str(tmp_path / 'net.onnx'))


@pytest.mark.parametrize('kind', SUFFIX)
def test_an_unwritable_path(kind, network, tmp_path):
    cfg, checkpoint, _ = network('cls')
    (tmp_path / 'file').write_text('')
    with pytest.raises(UserError, match='net cannot be written: File exists'):
        export(cfg, checkpoint, kind, str(tmp_path / 'file' / 'net'))

    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, before[1]))
    try:
        with pytest.raises(UserError, match='net cannot be written: File too large'):
            export(cfg, checkpoint, kind, str(tmp_path / 'net'))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert [path.name for path in tmp_path.iterdir()] == ['file']


def test_an_error_of_the_tool_is_one_line(tool, tmp_path):
    done = tool(
        'export', CONFIGS / 'cls' / 'glore_mini.py', 'no.pth', '--format', 'pt2',
        cwd=tmp_path, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert done.stderr.startswith('error: ') and 'no.pth' in done.stderr
    assert done.stderr.count('\n') == 1
