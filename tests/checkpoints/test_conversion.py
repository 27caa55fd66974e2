"""Conversion of released checkpoints, against a literal transcription.

The transcription has the names, shapes and functions of the released network and
uses no module of this package.

"""

import subprocess
import sys
import tarfile
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from mmengine.registry import MODELS, init_default_scope

from glore_mm.checkpoints.conversion import convert
from glore_mm.checkpoints.files import read_checkpoint
from glore_mm.utils.errors import UserError

R50, R101 = (3, 4, 6, 3), (3, 4, 23, 3)
PLACES = {R50: {3: (1, 3), 4: (1, 3, 5)}, R101: {3: (1, 3), 4: (6, 12, 18)}}
SMALL = (1, 2, 2, 2)  # for tests that do not depend on the size
PLACES[SMALL] = {3: (1,), 4: (2,)}
EPS = 1e-4


def test_a_runner_s_checkpoint_is_read_in_a_new_process(tmp_path):
    """Where no Runner has been imported."""
    from mmengine.logging import HistoryBuffer

    content = dict(state_dict={'a': torch.ones(1)}, message_hub=HistoryBuffer([1], [1]))
    torch.save(content, tmp_path / 'a.pth')
    script = (
        'from glore_mm.checkpoints.files import read_checkpoint\n'
        "print(read_checkpoint('a.pth')['state_dict'])"
    )
    done = subprocess.run(
        [sys.executable, '-c', script], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.stdout == "{'a': tensor([1.])}\n", done.stderr


def released_shapes(blocks, classes, base=64, places=None):
    """Names and shapes of the weights of a released Kinetics network."""
    shapes = {}

    def norm(name, width):
        for part in ('weight', 'bias', 'running_mean', 'running_var'):
            shapes[f'{name}.{part}'] = (width,)

    def layer(name, inputs, outputs, kernel):
        norm(f'{name}.bn', inputs)
        shapes[f'{name}.conv.weight'] = (outputs, inputs, *kernel)

    shapes['conv1.conv.weight'] = (base // 2, 3, 3, 5, 5)
    norm('conv1.bn', base // 2)
    inputs = base // 2
    for stage, number in zip((2, 3, 4, 5), blocks, strict=True):
        mid = base * 2 ** (stage - 2)
        for i in range(1, number + 1):
            name = f'conv{stage}.B{i:02d}'
            in_time = {2: True, 3: i % 2 == 1, 4: i % 2 == 1, 5: i == 2}[stage]
            layer(f'{name}.conv_m1', inputs, mid, (3 if in_time else 1, 1, 1))
            layer(f'{name}.conv_m2', mid, mid, (1, 3, 3))
            layer(f'{name}.conv_m3', mid, 4 * mid, (1, 1, 1))
            if i == 1:
                layer(f'{name}.conv_w1', inputs, 4 * mid, (1, 1, 1))
            inputs = 4 * mid
            if i in (places or {}).get(stage, ()):
                unit, states, nodes = f'{name}_extra', 2 * mid, mid
                shapes[f'{unit}.conv_state.weight'] = (states, inputs, 1, 1, 1)
                shapes[f'{unit}.conv_state.bias'] = (states,)
                shapes[f'{unit}.conv_proj.weight'] = (nodes, inputs, 1, 1, 1)
                shapes[f'{unit}.conv_proj.bias'] = (nodes,)
                shapes[f'{unit}.gcn.conv1.weight'] = (nodes, nodes, 1)
                shapes[f'{unit}.gcn.conv1.bias'] = (nodes,)
                shapes[f'{unit}.gcn.conv2.weight'] = (states, states, 1)
                shapes[f'{unit}.conv_extend.weight'] = (inputs, states, 1, 1, 1)
                norm(f'{unit}.blocker', inputs)
    norm('tail.bn', inputs)
    shapes['classifier.weight'] = (classes, inputs)
    shapes['classifier.bias'] = (classes,)
    return shapes


def random_state(shapes, seed=0):
    """Random values with magnitudes that keep the signal from vanishing."""
    generator = torch.Generator().manual_seed(seed)
    state = {}
    for name, shape in shapes.items():
        if len(shape) > 1 or name.endswith(('running_mean', 'bias')):
            fan_in = torch.Size(shape[1:]).numel()
            scale = fan_in**-0.5 if len(shape) > 1 else 0.2
            if 'conv_state' in name or 'conv_proj' in name:
                scale *= 0.006  # V is a sum over thousands of positions
            state[name] = torch.randn(shape, generator=generator) * scale
        else:  # scales and variances
            state[name] = 0.5 + torch.rand(shape, generator=generator)
    return state


def released_logits(state, x, blocks):
    """Logits of the described network, from weights with released names."""

    def norm(name, value):
        return F.batch_norm(
            value,
            state[f'{name}.running_mean'],
            state[f'{name}.running_var'],
            state[f'{name}.weight'],
            state[f'{name}.bias'],
            eps=EPS,
        )

    def layer(name, value, stride=1):
        weight = state[f'{name}.conv.weight']
        padding = [size // 2 for size in weight.shape[2:]]
        value = torch.relu(norm(f'{name}.bn', value))
        return F.conv3d(value, weight, stride=stride, padding=padding)

    def unit(name, value):
        flat = value.flatten(2)

        def conv1x1(part, what):
            weight = state[f'{name}.{part}.weight'].flatten(1)
            out = torch.einsum('oi,nil->nol', weight, what)
            bias = state.get(f'{name}.{part}.bias')
            return out if bias is None else out + bias[:, None]

        projection = conv1x1('conv_proj', flat)
        nodes = torch.einsum('nsl,nkl->nsk', conv1x1('conv_state', flat), projection)
        mixed = conv1x1('gcn.conv1', nodes.transpose(1, 2)).transpose(1, 2)
        nodes = conv1x1('gcn.conv2', torch.relu(nodes + mixed))
        back = torch.einsum('nsk,nkl->nsl', nodes, projection)
        back = norm(f'{name}.blocker', conv1x1('conv_extend', back))
        return value + back.view_as(value)

    weight = state['conv1.conv.weight']
    x = F.conv3d(x, weight, stride=(1, 2, 2), padding=(1, 2, 2))
    x = torch.relu(norm('conv1.bn', x))
    x = F.max_pool3d(x, (1, 3, 3), stride=(1, 2, 2), padding=(0, 1, 1))
    strides = {2: (1, 1, 1), 3: (2, 2, 2), 4: (1, 2, 2), 5: (1, 2, 2)}
    for stage, number in zip((2, 3, 4, 5), blocks, strict=True):
        for i in range(1, number + 1):
            name = f'conv{stage}.B{i:02d}'
            first = i == 1
            h = layer(f'{name}.conv_m1', x)
            h = layer(f'{name}.conv_m2', h, strides[stage] if first else 1)
            h = layer(f'{name}.conv_m3', h)
            x = h + (layer(f'{name}.conv_w1', x, strides[stage]) if first else x)
            if f'{name}_extra.conv_proj.weight' in state:
                x = unit(f'{name}_extra', x)
    x = torch.relu(norm('tail.bn', x))
    x = F.avg_pool3d(x, (4, *x.shape[3:])).flatten(1)
    return F.linear(x, state['classifier.weight'], state['classifier.bias'])


def recognizer(depth=50, classes=400, **backbone):
    init_default_scope('mmaction')
    import glore_mm.video  # noqa: F401

    placement = backbone.pop('placement', dict(layer2=2, layer3=3))
    backbone = dict(type='PreActResNet3d', depth=depth, **backbone)
    if placement:
        backbone = dict(type='WithGloRe', backbone=backbone, placement=placement)
    return MODELS.build(
        dict(
            type='Recognizer3D',
            backbone=backbone,
            cls_head=dict(
                type='I3DHead', num_classes=classes, in_channels=channels_of(backbone)
            ),
        )
    )


def channels_of(backbone):
    return 32 * backbone.get('backbone', backbone).get('base_channels', 64)


def small():
    return recognizer(
        classes=5,
        base_channels=8,
        stage_blocks=SMALL,
        placement=dict(layer2=(0,), layer3=(1,)),
    )


def small_state(**more):
    return random_state(released_shapes(SMALL, 5, base=8, places=PLACES[SMALL]), **more)


@pytest.mark.parametrize(('depth', 'blocks'), [(50, R50), (101, R101)])
def test_a_converted_network_has_the_released_logits(depth, blocks):
    state = random_state(released_shapes(blocks, 400, places=PLACES[blocks]))
    model = recognizer(depth).eval()
    done = convert(dict(state_dict=state), model.state_dict(), 'released.pth')
    assert (done.kind, done.dropped, done.untouched) == ('released', [], [])
    model.load_state_dict(done.state_dict)  # strict

    clip = torch.randn(1, 3, 8, 224, 224, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        ours = model(clip[None], mode='tensor', stage='head')
        theirs = released_logits(state, clip, blocks)
        for name in [name for name in state if name.endswith('blocker.weight')]:
            state[name] = torch.zeros_like(state[name])
        plain = released_logits(state, clip, blocks)
    assert 0.1 < theirs.std() < 100  # the signal has not vanished
    assert (theirs - plain).abs().max() > 0.1 * theirs.abs().max()  # nor the units'
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-5 * theirs.abs().max())


@pytest.mark.parametrize('form', ['bare', 'wrapped', 'module', 'counted', 'training'])
def test_every_released_file_format_converts_both_ways(form, tmp_path):
    state = small_state()
    if form == 'counted':  # PyTorch's format since 0.4.1
        state |= {
            name.replace('running_var', 'num_batches_tracked'): torch.tensor(3)
            for name in state
            if name.endswith('running_var')
        }
    named = {f'module.{n}': v for n, v in state.items()} if form == 'module' else state
    content = named if form == 'bare' else dict(state_dict=named)
    if form == 'training':
        content |= dict(epoch=7, optimizer=dict(state={}, param_groups=[1]))
    path = str(tmp_path / 'released.pth')
    torch.save(content, path, _use_new_zipfile_serialization=False)  # as at that time

    model = small()
    done = convert(read_checkpoint(path), model.state_dict(), path)
    assert done.dropped == (['epoch', 'optimizer'] if form == 'training' else [])
    model.load_state_dict(done.state_dict)
    unit = model.backbone.layer2[0].glore
    assert torch.equal(unit.gcn.conv1.weight, state['conv3.B01_extra.gcn.conv1.weight'])

    back = convert(dict(state_dict=done.state_dict), model.state_dict(), 'ours.pth')
    assert back.kind == 'ours'
    assert {n for n in back.state_dict if 'num_batches' not in n} == {
        n for n in state if 'num_batches' not in n
    }
    assert all(torch.equal(back.state_dict[name], v) for name, v in state.items())


@pytest.mark.slow
def test_the_tool_converts_both_ways(tool, tmp_path, config):
    content = dict(epoch=7, state_dict=small_state(), optimizer={})
    torch.save(content, tmp_path / 'released.pth')
    done = tool('convert_checkpoint', config, 'released.pth', 'ours.pth', cwd=tmp_path)
    assert done.stdout.splitlines()[2:] == [
        'left out: epoch, optimizer',
        'written: ours.pth, and its SHA-256: ours.pth.sha256',
    ]
    ours = torch.load(tmp_path / 'ours.pth', weights_only=True)['state_dict']
    small().load_state_dict(ours)
    tool('convert_checkpoint', config, 'ours.pth', 'back.pth', cwd=tmp_path)
    back = torch.load(tmp_path / 'back.pth', weights_only=True)['state_dict']
    state = content['state_dict']
    assert all(torch.equal(back[name], value) for name, value in state.items())


@pytest.fixture
def config(tmp_path):
    """Config of a small network of the release's architecture."""
    path = tmp_path / 'small.py'
    path.write_text(
        "default_scope = 'mmaction'\n"
        "custom_imports = dict(imports=['glore_mm.video'])\n"
        "model = dict(type='Recognizer3D',\n"
        "    backbone=dict(type='WithGloRe',\n"
        "        backbone=dict(type='PreActResNet3d', base_channels=8,\n"
        f'            stage_blocks={SMALL}),\n'
        '        placement=dict(layer2=(0,), layer3=(1,))),\n'
        "    cls_head=dict(type='I3DHead', num_classes=5, in_channels=256))\n"
    )
    return path


def test_2d_weights_are_inflated():
    """For a clip of one repeated image, the middle has the output of the 2D network."""
    shapes = released_shapes(SMALL, 1000, base=8)
    flat = {
        name: (*shape[:2], *shape[3:]) if len(shape) == 5 else shape
        for name, shape in shapes.items()
    }
    state = random_state(flat)
    model = small()
    model.init_weights()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    done = convert(state, model.state_dict(), '2d.pth')
    assert done.kind == 'released 2D'
    assert done.dropped == ['classifier.weight', 'classifier.bias']
    assert ' '.join(done.untouched) == (
        'backbone.layer2.0.glore backbone.layer3.1.glore cls_head'
    )
    missing, unexpected = model.load_state_dict(done.state_dict, strict=False)
    assert not unexpected
    assert all('glore' in name or 'cls_head' in name for name in missing)
    assert all(torch.equal(model.state_dict()[name], before[name]) for name in missing)
    kernel = model.backbone.conv1.conv.weight
    torch.testing.assert_close(kernel.sum(dim=2), state['conv1.conv.weight'])
    assert torch.equal(kernel[:, :, 0], kernel[:, :, 2])

    def stem(clip):  # conv1 as in 2D, for one frame
        return F.conv2d(clip, state['conv1.conv.weight'], stride=2, padding=2)

    image = torch.randn(1, 3, 32, 32)
    clip = image.unsqueeze(2).repeat(1, 1, 5, 1, 1)
    out = model.backbone.conv1.conv(clip)
    torch.testing.assert_close(out[:, :, 2], stem(image), rtol=1e-4, atol=1e-5)


def test_a_2d_network_is_not_converted_back():
    shapes = dict(released_shapes(SMALL, 5, base=8))
    flat = {
        name: (*shape[:2], *shape[3:]) if len(shape) == 5 else shape
        for name, shape in shapes.items()
    }
    ours = {f'backbone.{name}': value for name, value in random_state(flat).items()}
    with pytest.raises(UserError, match='own.pth has 2D weights, and the config build'):
        convert(dict(state_dict=ours), ours, 'own.pth')


def test_every_key_is_checked():
    network = small().state_dict()

    def refused(state):
        with pytest.raises(UserError) as error:
            convert(state, network, 'odd.pth')
        assert str(error.value).startswith('odd.pth looks like a Kinetics checkpoint')
        return str(error.value)

    state = small_state()
    state['conv3.B01.conv_m4.conv.weight'] = torch.zeros(1)
    state['fc.weight'] = torch.zeros(1)
    assert (
        '2 not known to the network: conv3.B01.conv_m4.conv.weight (1,), fc.weight (1,)'
        in refused(state)
    )

    state = small_state()
    del state['conv4.B02_extra.blocker.running_mean']
    del state['tail.bn.bias']
    message = refused(state)
    assert '2 missing: ' in message
    assert 'backbone.layer3.1.glore.blocker.running_mean' in message
    assert 'backbone.tail.bn.bias' in message

    state = small_state()
    for name in [name for name in state if 'B02_extra' in name]:  # a complete unit
        del state[name]
    assert '12 missing: backbone.layer3.1.glore.conv_state.weight' in refused(state)

    state = small_state()
    state['classifier.bias'] = torch.zeros(7)
    assert '1 of another shape: cls_head.fc_cls.bias is (7,), expected (5,)' in refused(
        state
    )


class Hostile:
    """Runs code when it is unpickled."""

    def __reduce__(self):
        return eval, ("open('ran', 'w').close()",)


@pytest.mark.parametrize(
    ('content', 'message'),
    [
        ('unsafe', 'has more than weights (eval)'),
        ('list', 'has no weights: a dict was expected, found a list'),
        ('text', 'cannot be read as a checkpoint: Unsupported operand'),
        ('archive', 'is an archive with 0 checkpoints (.pth, .pth.tar), expected 1'),
        ('nothing', 'no checkpoint at '),
    ],
)
def test_wrong_files(content, message, tmp_path):
    path = tmp_path / 'file.pth'
    if content == 'unsafe':
        torch.save(dict(state_dict=small_state(), epoch=Hostile()), path)
    elif content == 'list':
        torch.save([1, 2], path)
    elif content == 'text':
        path.write_text('no checkpoint')
    elif content != 'nothing':
        (tmp_path / 'train.py').write_bytes(b'0')
        with tarfile.open(path, 'w') as archive:
            archive.add(tmp_path / 'train.py', 'train.py')
    with pytest.raises(UserError) as error:
        convert(read_checkpoint(str(path)), small().state_dict(), str(path))
    assert message in str(error.value) and str(path) in str(error.value)
    assert not Path('ran').exists()


@pytest.mark.slow
def test_a_failed_conversion_keeps_the_old_file(tool, tmp_path, config):
    state = small_state()
    del state['tail.bn.bias']
    torch.save(state, tmp_path / 'released.pth')
    (tmp_path / 'ours.pth').write_text('mine')
    before = sorted(tmp_path.iterdir())
    for target in ('released.pth', 'ours.pth'):
        done = tool(
            'convert_checkpoint',
            config,
            'released.pth',
            target,
            cwd=tmp_path,
            check=False,
        )
        assert done.returncode == 1
        overwrites = 'would overwrite the file to convert' in done.stderr
        assert overwrites == (target[0] == 'r')
    assert (tmp_path / 'ours.pth').read_text() == 'mine'
    assert sorted(tmp_path.iterdir()) == before
