"""Units in networks of timm, torchvision and segmentation_models_pytorch."""

import copy
import re
import runpy
import subprocess
import sys
from functools import partial

import pytest
import timm
import torch
from paths import ROOT
from torch import nn
from torchvision.models import detection, segmentation
from torchvision.models.detection.backbone_utils import resnet_fpn_backbone
from torchvision.ops import FeaturePyramidNetwork

from glore_mm import GloRe2d, insert_glore
from glore_mm.insertion import find_units
from glore_mm.synthetic.mini_imagenet import CLASSES, write_mini_imagenet

Unit = partial(GloRe2d, num_states=8, num_nodes=4, normalize=True)
UNIT = Unit.keywords
NO_WEIGHTS = dict(weights=None, weights_backbone=None)
SHAPE = 2, 3, 64, 64


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


def run(net, x):
    """Return all tensors of a network's output."""

    def flat(outputs):
        if isinstance(outputs, torch.Tensor):
            return [outputs]
        values = outputs.values() if isinstance(outputs, dict) else outputs
        return [tensor for value in values for tensor in flat(value)]

    return flat(net(x))


def train(net, x, steps=1):
    """Return which units learned."""
    optimizer = torch.optim.SGD(net.train().parameters(), lr=0.01)
    for _ in range(steps):
        sum(output.square().mean() for output in run(net, x)).backward()
        optimizer.step()
    return [bool(unit.closing_weight.any()) for unit in find_units(net).values()]


@torch.no_grad()
def changed_by(unit, net, x):
    """Return the indices of the outputs that change if a unit is not the identity."""
    before = run(net, x)
    nn.init.ones_(unit.closing_weight)
    nn.init.ones_(unit.blocker.bias)
    after = run(net, x)
    nn.init.zeros_(unit.closing_weight)
    nn.init.zeros_(unit.blocker.bias)
    pairs = enumerate(zip(before, after, strict=True))
    return {i for i, (old, new) in pairs if not torch.equal(old, new)}


def check(plain, placement, expected, options=None):
    """Insert units, and compare with the network without them.

    Args:
        plain: The network.
        placement: As for insert_glore.
        expected: The outputs that depend on each unit, by the path of the unit.
        options: Further arguments of insert_glore.
    """
    x = torch.randn(SHAPE)
    net = insert_glore(copy.deepcopy(plain.eval()), placement, UNIT, **(options or {}))
    units = find_units(net)
    assert set(units) == set(expected)
    assert not net.load_state_dict(plain.state_dict(), strict=False).unexpected_keys
    added = net.state_dict().keys() - plain.state_dict().keys()
    assert all(key.startswith(tuple(expected)) for key in added)
    with torch.no_grad():
        assert all(map(torch.equal, run(net, x), run(plain, x)))
    for path, outputs in expected.items():
        assert changed_by(units[path], net, x) == outputs, path
    assert all(train(copy.deepcopy(net), x))
    return net


# ------------------------------------------------------------------ attn_layer of timm


@pytest.mark.parametrize(('name', 'count'), [('resnet18', 8), ('res2net50_26w_4s', 16)])
def test_attn_layer(name, count):
    """In each block, the identity, and initialised as such by timm."""
    x = torch.randn(SHAPE)
    net = timm.create_model(name, block_args=dict(attn_layer=Unit)).eval()
    plain = timm.create_model(name).eval()
    units = find_units(net)
    assert len(units) == count
    assert all(path.endswith('.se') for path in units)
    missing, unexpected = net.load_state_dict(plain.state_dict(), strict=False)
    assert not unexpected
    assert all(key.startswith(tuple(units)) for key in missing)
    with torch.no_grad():
        assert torch.equal(net(x), plain(x))
    assert all(changed_by(unit, net, x) == {0} for unit in list(units.values())[::4])
    # the last norm of a block starts at zero, so its unit gets zeros in the first step
    assert all(train(copy.deepcopy(net), x, steps=2))
    assert not any(unit.closing_weight.any() for unit in units.values())


def test_attn_layer_in_one_stage():
    """timm asks for a layer by its channels; None leaves it out."""

    def attn(channels, **options):
        return GloRe2d(channels, **options) if channels == 1024 else None

    net = timm.create_model('resnet50', block_args=dict(attn_layer=attn))
    assert list(find_units(net)) == [f'layer3.{i}.se' for i in range(6)]
    assert find_units(net)['layer3.0.se'].num_nodes == 256


def test_attn_layer_with_features_and_pretrained_weights(tmp_path):
    plain = timm.create_model('test_resnet').eval()
    torch.save(plain.state_dict(), tmp_path / 'net.pth')
    options = dict(
        pretrained=True,
        pretrained_cfg_overlay=dict(file=str(tmp_path / 'net.pth')),
        block_args=dict(attn_layer=Unit),
    )
    with pytest.raises(RuntimeError, match='Missing key'):
        timm.create_model('test_resnet', **options)
    net = timm.create_model('test_resnet', pretrained_strict=False, **options).eval()
    x = torch.randn(SHAPE)
    with torch.no_grad():
        assert torch.equal(net(x), plain(x))
    features = timm.create_model(
        'test_resnet', features_only=True, pretrained_strict=False, **options
    )
    assert list(find_units(features)) == [f'layer{i}.0.se' for i in (1, 2, 3, 4)]
    exported = torch.export.export(net, (x,)).module()
    torch.testing.assert_close(exported(x), net(x))


def test_attn_layer_on_another_device_and_in_another_precision():
    options = dict(block_args=dict(attn_layer=Unit), device='meta')
    net = timm.create_model('test_resnet', dtype=torch.float16, **options)
    kinds = {(p.device.type, p.dtype) for p in net.parameters()}
    assert kinds == {('meta', torch.float16)}


# ---------------------------------------------------------------- features_only of timm


@pytest.mark.parametrize(
    ('name', 'options', 'placement', 'expected'),
    [
        ('resnet18', dict(out_indices=(2, 3)), dict(layer3=(1,)),
         {'layer3.1.glore': {1}}),
        ('resnet18', dict(feature_cls='dict'), dict(layer1=('input',)),
         {'layer1.0.glore_input': {1, 2, 3, 4}}),
        ('resnet18', dict(feature_cls='hook'), {'body.layer3': (1,)},
         {'body.layer3.1.glore': {3, 4}}),
        ('convnext_atto', {}, {'stages_2.blocks': 1, 'stages_1.blocks': (1,)},
         {'stages_2.blocks.2.glore': {2, 3}, 'stages_1.blocks.1.glore': {1, 2, 3}}),
        ('mobilenetv3_small_100', {}, {'blocks.3': 1},
         {'blocks.3.0.glore': {3, 4}}),
        ('efficientnet_b0', dict(feature_location='expansion'),
         ['blocks.1.0.conv_pwl'], {'blocks.1.0.conv_pwl.glore': {1, 2, 3, 4}}),
    ],
)  # fmt: skip
def test_features_only(name, options, placement, expected):
    check(timm.create_model(name, features_only=True, **options), placement, expected)


class Collecting(nn.Module):
    """A network that collects its features with hooks."""

    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(3, 16, 3, 2, 1), nn.Conv2d(16, 16, 3))
        self.features = {}
        for block in self.body:
            block.register_forward_hook(self.collect)
        self.body[0].register_forward_pre_hook(self.collect)

    def collect(self, block, args, output=None):
        key = block, output is None
        self.features[key] = args[0] if output is None else output

    def forward(self, x):
        self.features.clear()
        self.body(x)
        return list(self.features.values())


def test_features_that_hooks_collect_are_those_after_the_unit():
    """A hook that was there first would collect the output of the block without it."""
    paths = {'body.0.glore': {1, 2}, 'body.1.glore': {2}}
    check(Collecting(), ['body.0', 'body.1'], paths)
    first = {'body.0.glore_input': {0, 1, 2}}
    check(Collecting(), dict(body=('input',)), first)


def test_a_network_that_torch_fx_has_traced():
    """Its blocks are never called."""
    net = timm.create_model('resnet18', features_only=True, feature_cls='fx')
    message = (
        r'layer3\.0 \(Module\) has no forward method, .* insert units before tracing, '
        'or name a module that is called; it has: conv1, bn1'
    )
    with pytest.raises(ValueError, match=message):
        insert_glore(net, {'graph_module.layer3': (0,)})
    assert not find_units(net)


# -------------------------------------------------------------------- feature pyramids


class TimmPyramid(nn.Module):
    """A pyramid of torchvision on features of timm."""

    def __init__(self):
        super().__init__()
        self.body = timm.create_model(
            'resnet18', features_only=True, out_indices=(1, 2, 3, 4)
        )
        self.fpn = FeaturePyramidNetwork(self.body.feature_info.channels(), 32)

    def forward(self, x):
        return self.fpn({str(i): maps for i, maps in enumerate(self.body(x))})


def test_pyramid_of_timm():
    placement = {'body.layer3': (1,), 'fpn.layer_blocks': (0, 2)}
    expected = {
        'body.layer3.1.glore': {0, 1, 2, 3},
        'fpn.layer_blocks.0.0.glore': {0},
        'fpn.layer_blocks.2.0.glore': {2},
    }
    net = check(TimmPyramid(), placement, expected).eval()
    x = torch.randn(SHAPE)
    exported = torch.export.export(net, (x,)).module()
    torch.testing.assert_close(run(exported, x), run(net, x))
    compiled = torch.compile(net, backend='eager', fullgraph=True)
    torch.testing.assert_close(run(compiled, x), run(net, x))


def test_backbone_of_a_detector():
    plain = resnet_fpn_backbone(backbone_name='resnet18', weights=None)
    expected = {'body.layer2.0.glore': {0, 1, 2, 3, 4}}
    check(plain, {'body.layer2': 1}, expected)
    net = insert_glore(plain, ['fpn'], dict(in_channels=256))
    message = (
        'output of fpn is not a single tensor, but OrderedDict: .* Name a module with'
    )
    with pytest.raises(TypeError, match=message):
        net(torch.randn(SHAPE))


def test_detector():
    plain = detection.retinanet_resnet50_fpn(
        num_classes=3, min_size=64, max_size=64, **NO_WEIGHTS
    ).eval()
    placement = {'backbone.body.layer3': 3}
    net = insert_glore(copy.deepcopy(plain), placement, UNIT)
    images = [torch.rand(3, 64, 64)] * 2
    with torch.no_grad():
        assert all(map(torch.equal, run(net, images), run(plain, images)))
    boxes = dict(boxes=torch.tensor([[4.0, 4, 40, 40]]), labels=torch.tensor([1]))
    sum(net.train()(images, [boxes] * 2).values()).backward()
    units = find_units(net)
    assert list(units) == [f'backbone.body.layer3.{i}.glore' for i in (0, 2, 4)]
    assert all(unit.closing_weight.grad.any() for unit in units.values())


# ------------------------------------------------------------------------ segmentation


@pytest.mark.parametrize(
    ('build', 'placement', 'expected'),
    [
        (segmentation.fcn_resnet50, {'backbone.layer3': 1, 'classifier': (2,)},
         {'backbone.layer3.2.glore': {0, 1}, 'classifier.2.glore': {0}}),
        (segmentation.deeplabv3_resnet50, ['backbone.layer2.3', 'classifier.0'],
         {'backbone.layer2.3.glore': {0, 1}, 'classifier.0.glore': {0}}),
        (segmentation.lraspp_mobilenet_v3_large,
         {'backbone.1[0-2]': 1, 'classifier.cbr': (2,)},
         {'backbone.11.glore': {0}, 'classifier.cbr.2.glore': {0}}),
    ],
    ids=['fcn', 'deeplabv3', 'lraspp'],
)  # fmt: skip
def test_segmentation_of_torchvision(build, placement, expected):
    lraspp = build is segmentation.lraspp_mobilenet_v3_large
    options = {} if lraspp else dict(aux_loss=True)
    check(build(num_classes=4, **options, **NO_WEIGHTS), placement, expected)


@pytest.mark.parametrize(
    ('decoder', 'encoder', 'placement', 'paths'),
    [
        ('Unet', 'resnet18', {'encoder.layer3': (1,), 'decoder.blocks': (0,)},
         'encoder.layer3.1 decoder.blocks.0'),
        ('DeepLabV3Plus', 'resnet18', ['encoder.layer2.1', 'decoder.aspp'],
         'encoder.layer2.1 decoder.aspp.3'),
        ('Segformer', 'mit_b0', {'encoder.block2': 1, 'encoder.block3': (1,)},
         'encoder.block2.0 encoder.block3.1'),
        ('UnetPlusPlus', 'efficientnet-b0', {'encoder._blocks': (10,)},
         'encoder._blocks.10'),
        ('FPN', 'tu-convnext_atto', {'encoder.model.stages_2.blocks': 1},
         'encoder.model.stages_2.blocks.2'),
        ('Linknet', 'mobilenet_v2', {'encoder.features': (10,)},
         'encoder.features.10'),
    ],
)  # fmt: skip
def test_segmentation_models_pytorch(decoder, encoder, placement, paths):
    smp = pytest.importorskip('segmentation_models_pytorch')
    plain = getattr(smp, decoder)(encoder, encoder_weights=None, classes=3)
    check(plain, placement, {f'{path}.glore': {0} for path in paths.split()})


# ------------------------------------------------------------- examples/train_timm.py


EXAMPLE = str(ROOT / 'examples' / 'train_timm.py')
FEW_STEPS = '--model test_resnet --units 1 1 --size 64 --batch 8 --epochs 2 --workers 0'


def test_example(tmp_path, monkeypatch, capsys):
    data = write_mini_imagenet(tmp_path / 'data', num_train=20, num_val=10, scale=0.2)
    out = tmp_path / 'net.pth'
    command = [sys.executable, EXAMPLE, data, *FEW_STEPS.split(), '--amp', '--no-aug']
    done = subprocess.run([*command, '--out', out], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    pattern = r'epoch {}: loss \d\.\d{{3}}, accuracy (\d+\.\d)%'
    found = [re.fullmatch(pattern.format(i + 1), line) for i, line in enumerate(lines)]
    assert len(found) == 2 and all(found), lines

    saved = torch.load(out, weights_only=True)
    assert (saved['epoch'], list(saved['classes'])) == (2, list(CLASSES))
    assert f'{saved["accuracy"]:.1%}' == f'{found[1][1]}%'
    net = timm.create_model('test_resnet', num_classes=10)
    insert_glore(net, dict(layer2=1, layer3=1), dict(normalize=True))
    net.load_state_dict(saved['state_dict'])
    assert all(unit.closing_weight.any() for unit in find_units(net).values())

    for args, message in (
        ([data, '--batch', '21'], '--batch is 21, but train has 20 images'),
        (
            [tmp_path],
            f'there is no folder {tmp_path / "train"}, with a folder for each',
        ),
    ):
        monkeypatch.setattr(sys, 'argv', [EXAMPLE, *map(str, args)])
        with pytest.raises(SystemExit):
            runpy.run_path(EXAMPLE, run_name='__main__')
        assert message in capsys.readouterr().err
