"""The 2D pre-activation ResNet: outputs, variants, placement of units."""

import pytest
import torch
import torch.nn.functional as F
from mmengine.config import ConfigDict
from mmengine.registry import MODELS, init_default_scope
from torch import nn

import glore_mm
from glore_mm.models.preact_resnet import PreActResNet
from glore_mm.utils.errors import UserError

TINY = dict(base_channels=8, stage_blocks=(2, 1, 1, 1))


def tiny(**more) -> PreActResNet:
    return PreActResNet(**{**TINY, **more})


def randomize(net: nn.Module) -> nn.Module:
    """Convert to float64, with random values instead of initial ones."""
    torch.manual_seed(0)
    net.double()
    for name, value in net.state_dict().items():
        if value.is_floating_point():
            positive = name.endswith(('running_var', 'bn.weight'))
            nn.init.uniform_(value, 0.5 if positive else -0.3, 1.5 if positive else 0.3)
    return net.eval()


def transcription(state, x, depth, blocks, groups=1, strides=(1, 2, 2, 2)):
    """The network as described by the release, written out in float64."""

    def bn_relu(x, name):
        mean, var, weight, bias = (
            state[f'{name}.{key}'].view(1, -1, 1, 1)
            for key in ('running_mean', 'running_var', 'weight', 'bias')
        )
        return ((x - mean) / (var + 1e-4).sqrt() * weight + bias).clamp(min=0)

    def layer(x, name, **how):
        kernel = state[f'{name}.conv.weight']
        padding = kernel.shape[-1] // 2
        return F.conv2d(bn_relu(x, f'{name}.bn'), kernel, padding=padding, **how)

    kernel = state['conv1.conv.weight']
    x = F.conv2d(x, kernel, stride=2, padding=kernel.shape[-1] // 2)
    x = F.max_pool2d(bn_relu(x, 'conv1.bn'), 3, 2, 1)
    for stage, number in enumerate(blocks):
        for block in range(number):
            at = f'layer{stage + 1}.{block}'
            stride = strides[stage] if block == 0 else 1
            if depth < 50:
                h = layer(x, f'{at}.conv_m1', stride=stride)
                h = layer(h, f'{at}.conv_m2')
            else:
                h = layer(x, f'{at}.conv_m1')
                h = layer(h, f'{at}.conv_m2', stride=stride, groups=groups)
                h = layer(h, f'{at}.conv_m3')
            if f'{at}.se.fc1.weight' in state:
                s = h.mean((2, 3), keepdim=True)
                for fc, act in (('fc1', torch.relu), ('fc2', torch.sigmoid)):
                    gate = f'{at}.se.{fc}'
                    s = act(F.conv2d(s, state[f'{gate}.weight'], state[f'{gate}.bias']))
                h = h * s
            if block == 0:
                x = layer(x, f'{at}.conv_w1', stride=stride)
            x = x + h
    return bn_relu(x, 'tail.bn')


@pytest.mark.parametrize(
    'variant',
    [
        dict(depth=50),
        dict(depth=18),
        dict(depth=50, stem='lite'),
        dict(depth=50, se_ratio=4),
        dict(depth=101, groups=4, width_per_group=2),
        dict(depth=34, strides=(1, 2, 1, 1)),
    ],
    ids=str,
)
def test_equals_the_transcription(variant):
    net = randomize(tiny(**variant))
    x = torch.randn(2, 3, 65, 80, dtype=torch.float64)
    (found,) = net(x)
    how = {k: variant[k] for k in ('depth', 'groups', 'strides') if k in variant}
    expected = transcription(net.state_dict(), x, blocks=(2, 1, 1, 1), **how)
    assert expected.abs().max() > 0.1
    assert found.shape == expected.shape
    assert (found - expected).abs().max() <= 1e-12 * expected.abs().max()


@pytest.mark.parametrize(
    ('depth', 'blocks', 'millions'),
    # without the classifier's 2.049 and 0.513 M; figures of torchvision's
    # post-activation ResNets, whose norms differ
    # its post-activation twins; the norms differ
    [
        (18, (2, 2, 2, 2), 11.177),
        (34, (3, 4, 6, 3), 21.285),
        (50, (3, 4, 6, 3), 23.508),
        (101, (3, 4, 23, 3), 42.500),
        (152, (3, 8, 36, 3), 58.144),
        (200, (3, 24, 36, 3), 62.6),
    ],
)
def test_depths(depth, blocks, millions):
    with torch.device('meta'):
        net = PreActResNet(depth)
    assert tuple(len(stage) for stage in net._stages()) == blocks
    parameters = sum(p.numel() for p in net.parameters()) / 1e6
    assert parameters == pytest.approx(millions, abs=0.05)
    assert net.layer2[0].conv_m1.conv.stride == ((2, 2) if depth < 50 else (1, 1))
    assert net.layer2[0].conv_m2.conv.stride == ((1, 1) if depth < 50 else (2, 2))


def test_lite_stem_is_that_of_the_3d_network():
    from glore_mm.models.preact_resnet3d import PreActResNet3d

    flat, deep = PreActResNet(stem='lite'), PreActResNet3d()
    state = deep.state_dict()
    assert list(flat.state_dict()) == list(state)
    for name, value in flat.state_dict().items():
        like = state[name]
        assert value.shape == (like.shape[:2] + like.shape[-2:])[: value.dim()], name


def test_dilations_keep_the_resolution():
    net = tiny(
        depth=50,
        strides=(1, 2, 1, 1),
        dilations=(1, 1, 2, 4),
        out_indices=(0, 1, 2, 3),
    )
    shapes = [tuple(out.shape) for out in net(torch.zeros(1, 3, 64, 96))]
    assert shapes == [
        (1, 32, 16, 24), (1, 64, 8, 12), (1, 128, 8, 12), (1, 256, 8, 12),
    ]  # fmt: skip
    assert net.layer4[0].conv_m2.conv.dilation == (4, 4)
    last = net(torch.randn(1, 3, 64, 96))[-1]
    assert last.min() == 0  # after the ReLU of the tail


def test_frozen_stages_do_not_learn_but_their_units_do():
    backbone = dict(type=PreActResNet, **TINY, frozen_stages=2, norm_eval=True)
    net = glore_mm.WithGloRe(backbone=backbone, placement=dict(layer2=1))
    net.train()
    learning = {n.split('.')[0] for n, p in net.named_parameters() if p.requires_grad}
    assert learning == {'layer2', 'layer3', 'layer4', 'tail'}
    plain = tiny(frozen_stages=2)  # already when it is built, which DDP requires
    assert not any(p.requires_grad for p in plain.layer2.parameters())
    assert all(p.requires_grad for p in net.layer2[0].glore.parameters())
    assert not any(p.requires_grad for p in net.layer2[0].conv_m1.parameters())
    assert (
        not net.layer1[0].conv_m1.bn.training and not net.layer4[0].conv_m1.bn.training
    )


def test_checkpointing_of_blocks_changes_nothing():
    nets = randomize(tiny()), randomize(tiny(with_cp=True))
    x = torch.randn(2, 3, 32, 32, dtype=torch.float64)
    gradients = []
    for net in nets:
        net.train()(x)[-1].square().sum().backward()
        gradients.append([p.grad for p in net.parameters()])
    for a, b in zip(*gradients, strict=True):
        assert torch.allclose(a, b, rtol=1e-10, atol=0)


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (dict(depth=77), 'depth must be one of 18, 34, 50, 101, 152, 200, got 77'),
        (dict(stage_blocks=(1, 2)), r'four stages, each at least 1; got \(1, 2\)'),
        (dict(stem='3x3'), "stem must be '7x7' or 'lite', got '3x3'"),
        (dict(depth=18, groups=32), 'groups=32 needs bottlenecks'),
        (dict(out_indices=(4,)), r'some of the stages 0 to 3, got \(4,\)'),
        (dict(frozen_stages=-2), 'frozen_stages must be from -1 to 4, got -2'),
        (dict(strides=(1, 2)), r'strides must have .* four stages, got \(1, 2\)'),
        (dict(dilations=(2,)), r'dilations must have .* four stages, got \(2,\)'),
    ],
)
def test_wrong_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        PreActResNet(**arguments)


def test_a_segmentor_in_mmseg_with_output_stride_8():
    """Registered in the root registry, so that other libraries find it."""
    from mmengine.structures import PixelData
    from mmseg.structures import SegDataSample

    import glore_mm.seg  # noqa: F401

    init_default_scope('mmseg')
    backbone = dict(
        type='PreActResNet',
        base_channels=8,
        stage_blocks=(1, 1, 2, 1),
        strides=(1, 2, 1, 1),
        dilations=(1, 1, 2, 4),
        out_indices=(0, 1, 2, 3),
    )
    model = MODELS.build(
        ConfigDict(
            type='EncoderDecoder',
            backbone=dict(
                type='WithGloRe', backbone=backbone, placement=dict(layer3=1)
            ),
            decode_head=dict(
                type='GloReHead',
                in_channels=256,
                in_index=3,
                channels=16,
                num_classes=3,
            ),
        )
    )
    model.init_weights()
    sample = SegDataSample(
        gt_sem_seg=PixelData(data=torch.randint(3, (1, 64, 64))),
        metainfo=dict(img_shape=(64, 64)),
    )
    features = model.extract_feat(torch.randn(2, 3, 64, 64))
    assert features[-1].shape == (2, 256, 8, 8)
    losses = model.loss(torch.randn(2, 3, 64, 64), [sample, sample])
    losses['decode.loss_ce'].backward()
    assert model.backbone.layer3[0].glore.blocker.weight.grad.any()


def test_2d_weights_start_the_3d_network(tmp_path):
    """From the lite network with pre-activated units, which the 3D network lacks."""
    from glore_mm.checkpoints.conversion import convert

    init_default_scope('mmaction')
    import glore_mm.video

    flat = glore_mm.insert_glore(tiny(stem='lite'), dict(layer3=1), dict(pre_act=True))
    randomize(flat)
    state = {f'backbone.{name}': value for name, value in flat.state_dict().items()}
    state |= {'head.fc.weight': torch.ones(10, 256), 'head.fc.bias': torch.ones(10)}
    recognizer = MODELS.build(
        dict(
            type='mmaction.Recognizer3D',
            backbone=dict(
                type='WithGloRe',
                backbone=dict(
                    type='PreActResNet3d', base_channels=8, stage_blocks=(2, 1, 1, 1)
                ),
                placement=dict(layer3=1),
            ),
            cls_head=dict(type='I3DHead', num_classes=4, in_channels=256),
        )
    )
    done = convert(dict(state_dict=state), recognizer.state_dict(), 'flat.pth')
    assert done.kind == 'ours 2D'
    assert done.untouched == ['backbone.layer3.0.glore', 'cls_head']
    assert 'head.fc.weight' in done.dropped
    missing, unexpected = recognizer.load_state_dict(done.state_dict, strict=False)
    assert not unexpected
    assert {name.split('.')[0] for name in missing if 'glore' not in name} == {
        'cls_head'
    }
    # a clip of one image gives the same, except at its ends
    kernel = recognizer.backbone.layer1[0].conv_m1.conv.weight.double()
    assert torch.allclose(
        kernel.sum(2), flat.layer1[0].conv_m1.conv.weight.float().double(), atol=1e-6
    )
    with pytest.raises(UserError, match='of another shape'):
        wrong = randomize(tiny(stem='7x7')).state_dict()
        convert(
            {f'backbone.{name}': value for name, value in wrong.items()},
            recognizer.state_dict(),
            'wide.pth',
        )
