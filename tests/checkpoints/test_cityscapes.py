"""Cityscapes checkpoints of the release, against a literal transcription.

The transcription has the names, shapes and functions of the described network and
uses no module of this package.

"""

import io
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from archives import tar_bytes

from glore_mm.apis.convert import convert_checkpoint
from glore_mm.checkpoints.conversion import convert
from glore_mm.config.build import build_model
from glore_mm.config.load import load_config
from glore_mm.utils.errors import UserError

CONFIG = 'glore_mm::seg/glore_cityscapes_r50_released.py'
BLOCKS = (3, 4, 6, 3)


def random_state(stem=7, seed=0):
    """A random state dict of a network with ResNet-50."""
    rng = torch.Generator().manual_seed(seed)
    state = {}

    def conv(name, outputs, inputs, *kernel, bias=False):
        scale = (2 / (inputs * torch.Size(kernel).numel())) ** 0.5
        state[f'{name}.weight'] = scale * torch.randn(
            outputs, inputs, *kernel, generator=rng
        )
        if bias:
            state[f'{name}.bias'] = 0.1 * torch.randn(outputs, generator=rng)

    def norm(name, width):
        for part in ('weight', 'running_var'):
            state[f'{name}.{part}'] = 0.5 + torch.rand(width, generator=rng)
        for part in ('bias', 'running_mean'):
            state[f'{name}.{part}'] = 0.1 * torch.randn(width, generator=rng)

    if stem == 7:
        conv('pretrained.conv1', 64, 3, 7, 7)
        norm('pretrained.bn1', 64)
    else:
        for place, (outputs, inputs) in {0: (64, 3), 3: (64, 64), 6: (128, 64)}.items():
            conv(f'pretrained.conv1.{place}', outputs, inputs, 3, 3)
            if place < 6:
                norm(f'pretrained.conv1.{place + 1}', outputs)
        norm('pretrained.bn1', 128)
    inputs = 64 if stem == 7 else 128
    for stage, number in enumerate(BLOCKS, 1):
        mid = 32 * 2**stage
        for i in range(number):
            name = f'pretrained.layer{stage}.{i}'
            conv(f'{name}.conv1', mid, inputs, 1, 1)
            conv(f'{name}.conv2', mid, mid, 3, 3)
            conv(f'{name}.conv3', 4 * mid, mid, 1, 1)
            for j, width in enumerate((mid, mid, 4 * mid), 1):
                norm(f'{name}.bn{j}', width)
            if i == 0:
                conv(f'{name}.downsample.0', 4 * mid, inputs, 1, 1)
                norm(f'{name}.downsample.1', 4 * mid)
            inputs = 4 * mid
    state['pretrained.fc.weight'] = torch.zeros(1000, 2048)  # mean and std of ImageNet
    state['pretrained.fc.bias'] = torch.zeros(1000)
    conv('head.conv51.0', 512, 2048, 3, 3)
    norm('head.conv51.1', 512)
    unit = 'head.gcn.GCN00'
    conv(f'{unit}.conv_state', 128, 512, 1, 1, bias=True)
    conv(f'{unit}.conv_proj', 64, 512, 1, 1, bias=True)
    conv(f'{unit}.gcn.conv1', 64, 64, 1, bias=True)
    conv(f'{unit}.gcn.conv2', 128, 128, 1)
    conv(f'{unit}.fc_2', 512, 128, 1, 1)
    norm(f'{unit}.blocker', 512)
    conv('head.conv52.0', 512, 512, 3, 3)
    norm('head.conv52.1', 512)
    conv('head.conv6.1', 19, 512, 1, 1, bias=True)
    return state


def released_logits(state, x):
    """Logits of the described network at 1/8 of the image size, in double precision."""
    state = {name: value.double() for name, value in state.items()}

    def conv(name, value, stride=1, dilation=1):
        weight = state[f'{name}.weight']
        padding = dilation * (weight.shape[-1] // 2)
        bias = state.get(f'{name}.bias')
        operation = F.conv1d if weight.dim() == 3 else F.conv2d
        return operation(value, weight, bias, stride, padding, dilation)

    def norm(name, value):
        parts = ('running_mean', 'running_var', 'weight', 'bias')
        return F.batch_norm(value, *(state[f'{name}.{p}'] for p in parts), eps=1e-5)

    x = norm('pretrained.bn1', conv('pretrained.conv1', x.double(), 2)).relu()
    x = F.max_pool2d(x, 3, 2, 1)
    dilations = {1: (1,) * 3, 2: (1,) * 4, 3: (1, 2, 2, 2, 2, 2), 4: (4, 8, 16)}
    for stage in (1, 2, 3, 4):
        for i, dilation in enumerate(dilations[stage]):
            name = f'pretrained.layer{stage}.{i}'
            stride = 2 if (stage, i) == (2, 0) else 1
            y = norm(f'{name}.bn1', conv(f'{name}.conv1', x)).relu()
            y = norm(f'{name}.bn2', conv(f'{name}.conv2', y, stride, dilation)).relu()
            y = norm(f'{name}.bn3', conv(f'{name}.conv3', y))
            if i == 0:
                x = conv(f'{name}.downsample.0', x, stride)
                x = norm(f'{name}.downsample.1', x)
            x = (x + y).relu()
    x = norm('head.conv51.1', conv('head.conv51.0', x)).relu()
    unit, (h, w) = 'head.gcn.GCN00', x.shape[2:]
    states = conv(f'{unit}.conv_state', x).flatten(2)
    nodes = conv(f'{unit}.conv_proj', x).flatten(2)
    v = states @ nodes.transpose(1, 2) / (h * w)
    v = v + conv(f'{unit}.gcn.conv1', v.transpose(1, 2)).transpose(1, 2)
    v = conv(f'{unit}.gcn.conv2', v.relu())
    y = (v @ nodes).unflatten(2, (h, w))
    x = x + norm(f'{unit}.blocker', conv(f'{unit}.fc_2', y))
    x = norm('head.conv52.1', conv('head.conv52.0', x)).relu()
    return conv('head.conv6.1', x)


def saved(content):
    buffer = io.BytesIO()
    torch.save(content, buffer, _use_new_zipfile_serialization=False)  # as at that time
    return buffer.getvalue()


def test_a_converted_network_has_the_released_logits(tmp_path):
    state = random_state()
    content = dict(epoch=240, state_dict=state, best_pred=0.8)
    members = {'glore/train.py': b'', 'glore/model_best.pth.tar': saved(content)}
    source = tmp_path / 'resnet50_w-glore.tar'
    source.write_bytes(tar_bytes(members))
    cfg = load_config(CONFIG)
    done = convert_checkpoint(cfg, str(source), str(tmp_path / 'ours.pth'))
    assert done.kind == 'released Cityscapes'
    assert sorted(done.dropped) == [
        'best_pred', 'epoch', 'pretrained.fc.bias', 'pretrained.fc.weight'
    ]  # fmt: skip
    cfg.model.pretrained = None
    model = build_model(cfg).double().eval()
    model.load_state_dict(done.state_dict)
    image = torch.rand(1, 3, 97, 129, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        found = model.decode_head(model.extract_feat(image.double()))
        expected = released_logits(state, image)
    assert found.shape == expected.shape == (1, 19, 13, 17)
    assert (found - expected).abs().max() < 1e-9 * expected.abs().max()


def test_a_deep_stem():
    stem = {'model.backbone.deep_stem': True, 'model.backbone.stem_channels': 128}
    cfg = load_config(CONFIG, stem)
    network = build_model(cfg).state_dict()
    done = convert(random_state(stem=3), network, 'deep.pth')
    assert done.state_dict.keys() == network.keys()


def test_other_networks_and_other_content(tmp_path):
    cfg = load_config('glore_mm::seg/glore_cityscapes_r101_released.py')

    def refused(members):
        source = str(tmp_path / 'resnet50_w-glore.tar')
        Path(source).write_bytes(tar_bytes(members))
        with pytest.raises(UserError) as error:
            convert_checkpoint(cfg, source, str(tmp_path / 'ours.pth'))
        assert source in str(error.value)
        return str(error.value)

    state = random_state()
    message = refused({'a.pth.tar': saved(dict(state_dict=state))})
    assert 'missing: backbone.layer3.6.conv1.weight' in message
    state['strange'] = torch.zeros(2, 3)
    message = refused({'a.pth.tar': saved(dict(state_dict=state))})
    assert '1 not known to the network: strange (2, 3)' in message
    message = refused({'a.pth.tar': saved(dict(state_dict=state, args=io.StringIO()))})
    assert 'has more than weights (_io.StringIO)' in message
    assert 'archive with 0 checkpoints' in refused({'train.py': b''})
