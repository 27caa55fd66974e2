"""Units after the blocks of networks from torchvision, timm and OpenMMLab."""

import copy
import pickle
from functools import partial

import pytest
import torch
from mmengine.registry import MODELS, init_default_scope
from torch import nn

import glore_mm
from glore_mm.unit import GloRe

IMAGE = (2, 3, 64, 64)
CLIP = (2, 3, 4, 64, 64)


# networks of the same kind as another one in the table
SLOW = {
    'torchvision-resnext50_32x4d',
    'torchvision-swin_v2_t',
    'torchvision-swin3d_t',
    'torchvision-vgg16_bn',
    'torchvision-r3d_18',
    'timm-resnet50',
    'timm-resnet50-features',
    'timm-convnext_tiny',
    'timm-swin_tiny_patch4_window7_224',
    'timm-swin_tiny_patch4_window7_224-features',
    'timm-swinv2_tiny_window8_256',
    'timm-swinv2_cr_tiny_ns_224',
    'timm-swinv2_cr_tiny_224',
    'timm-regnety_004',
    'timm-densenet121',
    'timm-efficientnet_b0',
    'timm-maxvit_rmlp_nano_rw_256',
}


def vgg16_bn():
    """Without the 100 million weights of its classifier."""
    from torchvision.models import vgg16_bn

    net = vgg16_bn(init_weights=False)
    net.classifier = nn.Linear(512 * 7 * 7, 10)
    return net


def vit_b_16():
    from torchvision.models import VisionTransformer

    return VisionTransformer(
        image_size=64,
        patch_size=16,
        num_layers=3,
        num_heads=3,
        hidden_dim=48,
        mlp_dim=96,
    )


def mvit_v2_s():
    """With fewer and thinner blocks, as it has a fixed input size."""
    from torchvision.models.video.mvit import MSBlockConfig, MViT

    blocks = [(1, 24, 24, [1, 1, 1]), (2, 24, 48, [1, 2, 2]), (2, 48, 48, [1, 1, 1])]
    kernels = [3, 3, 3], [3, 3, 3]
    return MViT(
        spatial_size=(64, 64),
        temporal_size=4,
        block_setting=[
            MSBlockConfig(heads, inputs, outputs, *kernels, stride, [1, 2, 2])
            for heads, inputs, outputs, stride in blocks
        ],
        residual_pool=True,
        residual_with_cls_embed=False,
        rel_pos_embed=True,
        proj_after_attn=True,
    )


def build(library, network):
    """Build the plain network from a function, a name with arguments, or a config."""
    if callable(network):
        return network()
    if library == 'torchvision':
        from torchvision.models import get_model

        return get_model(network)
    if library == 'timm':
        from timm import create_model

        name, options = network if isinstance(network, tuple) else (network, {})
        return create_model(name, **options)
    init_default_scope(library)
    return MODELS.build(copy.deepcopy(network))


def build_with_units(library, network, plain, placement, settings):
    if library in ('torchvision', 'timm'):
        return glore_mm.insert_glore(copy.deepcopy(plain), placement, **settings)
    return MODELS.build(
        dict(
            type='WithGloRe',
            backbone=copy.deepcopy(network),
            placement=placement,
            **settings,
        )
    )


def case(
    library, network, placement, units, gives='NCHW', prefix=0, size=IMAGE, **settings
):
    """A row of the table.

    Args:
        library: torchvision, timm, or the scope of a registry.
        network: As for `build`.
        placement: As for insert_glore.
        units: The paths of the units.
        gives: Layout of the blocks' output.
        prefix: Number of tokens before the grid, such as class tokens.
        size: Size of an input.
        settings: Further arguments of insert_glore.
    """
    name = network[0] if isinstance(network, tuple) else network
    if isinstance(network, dict):
        name = network['type']
    elif callable(network):
        name = network.__name__
    if isinstance(network, tuple) and 'features_only' in network[1]:
        name += '-features'
    unit = dict(num_states=8, num_nodes=4, normalize=True)
    settings['unit'] = dict(unit, **settings.get('unit', {}))
    return pytest.param(
        library,
        network,
        placement,
        units.split(),
        gives,
        prefix,
        size,
        settings,
        id=f'{library}-{name}',
        marks=[pytest.mark.slow] if f'{library}-{name}' in SLOW else [],
    )


SWIN = dict(embed_dims=24, depths=[2, 2, 2, 2], num_heads=[1, 2, 4, 8])
SLOW_FAST = dict(
    type='ResNet3dSlowFast',
    pretrained=None,
    resample_rate=4,
    speed_ratio=4,
    channel_ratio=8,
    slow_pathway=dict(type='resnet3d', depth=18, lateral=True, base_channels=32),
    fast_pathway=dict(type='resnet3d', depth=18, lateral=False, base_channels=4),
)
HRNET = {
    f'stage{i}': dict(
        num_modules=1,
        num_branches=i,
        block='BOTTLENECK' if i == 1 else 'BASIC',
        num_blocks=(1,) * i,
        num_channels=(64,) if i == 1 else (8, 16, 32, 64)[:i],
    )
    for i in (1, 2, 3, 4)
}
SMALL = dict(img_size=64)
SMALL_VIT = dict(img_size=64, depth=3, embed_dim=48, num_heads=3)

NETWORKS = [
    case(
        'torchvision',
        'resnet50',
        dict(layer1=('input',), layer3=(5,)),
        'layer1.0.glore_input layer3.5.glore',
    ),
    case('torchvision', 'resnext50_32x4d', dict(layer3=1), 'layer3.2.glore'),
    case(
        'torchvision',
        'convnext_tiny',
        {'features.1': (0,), 'features.5': 2},
        'features.1.0.glore features.5.2.glore features.5.5.glore',
    ),
    case(
        'torchvision',
        'swin_t',
        {'features.3': ('input',), 'features.5': 2},
        'features.3.0.glore_input features.5.1.glore features.5.3.glore',
        'NHWC',
    ),
    case(  # a block, and a layer between stages
        'torchvision',
        'swin_v2_t',
        ['features.3.1', 'features.4'],
        'features.3.1.glore features.4.glore',
        'NHWC',
    ),
    case(
        'torchvision',
        vit_b_16,
        {'encoder.layers': 2},
        'encoder.layers.encoder_layer_0.glore encoder.layers.encoder_layer_1.glore',
        'NLC',
        prefix=1,
    ),
    case(
        'torchvision',
        'efficientnet_b0',
        {'features.3': (1,), 'features.5': 1},
        'features.3.1.glore features.5.1.glore',
    ),
    case(
        'torchvision',
        'regnet_y_400mf',
        {'trunk_output.block3': 2},
        'trunk_output.block3.block3-1.glore trunk_output.block3.block3-3.glore',
    ),
    case(
        'torchvision',
        'densenet121',
        ['features.transition1', 'features.denseblock3.denselayer2'],
        'features.transition1.pool.glore features.denseblock3.denselayer2.glore',
    ),
    case(
        'torchvision',
        vgg16_bn,
        dict(features=(22, 33)),
        'features.22.glore features.33.glore',
    ),
    case(
        'torchvision',
        'mobilenet_v3_large',
        {'features.[1-9]': (3,), 'features.1[0-5]': 1},
        'features.4.glore features.12.glore',
    ),
    case(
        'torchvision',
        'r3d_18',
        dict(layer1=('input',), layer3=(1,)),
        'layer1.0.glore_input layer3.1.glore',
        'NCTHW',
        size=CLIP,
    ),
    case(
        'torchvision',
        mvit_v2_s,
        dict(blocks=(0, 1)),
        'blocks.0.glore blocks.1.glore',
        'NLC',
        prefix=1,
        size=CLIP,
    ),
    case(
        'torchvision',
        'swin3d_t',
        {'features.4': 2},
        'features.4.1.glore features.4.3.glore',
        'NTHWC',
        size=CLIP,
    ),
    case('timm', 'resnet50', dict(layer3=2), 'layer3.1.glore layer3.3.glore'),
    case(
        'timm',
        'convnext_tiny',
        {'stages.2.blocks': (0, 8), 'stages': (0,)},
        'stages.0.glore stages.2.blocks.0.glore stages.2.blocks.8.glore',
    ),
    case(
        'timm',
        ('swin_tiny_patch4_window7_224', SMALL),
        {'layers.2.blocks': 2, 'layers': (0,)},
        'layers.0.glore layers.2.blocks.1.glore layers.2.blocks.3.glore',
        'NHWC',
    ),
    case(
        'timm',
        ('swinv2_tiny_window8_256', SMALL),
        {'layers.1.blocks': 1, 'layers.3.blocks': (1,)},
        'layers.1.blocks.0.glore layers.3.blocks.1.glore',
        'NHWC',
    ),
    case(
        'timm',
        ('swinv2_cr_tiny_ns_224', SMALL),
        {'stages.2.blocks': 1},
        'stages.2.blocks.2.glore',
        'NHWC',
    ),
    case(  # its blocks have channels last, but the output of a stage has them first
        'timm',
        ('swinv2_cr_tiny_224', SMALL),
        ['stages.1'],
        'stages.1.glore',
        layout='NCHW',
    ),
    case(
        'timm',
        ('vit_tiny_patch16_224', SMALL_VIT),
        dict(blocks=2),
        'blocks.0.glore blocks.1.glore',
        'NLC',
        prefix=1,
    ),
    case(  # a class token and four registers
        'timm',
        ('vit_small_patch14_reg4_dinov2', dict(SMALL_VIT, img_size=56)),
        dict(blocks=2),
        'blocks.0.glore blocks.1.glore',
        'NLC',
        prefix=5,
        size=(2, 3, 56, 56),
    ),
    case(  # registers only
        'timm',
        ('vit_betwixt_patch16_reg4_gap_256', SMALL_VIT),
        dict(blocks=(0, 2)),
        'blocks.0.glore blocks.2.glore',
        'NLC',
        prefix=4,
    ),
    case(
        'timm',
        ('deit_tiny_distilled_patch16_224', SMALL_VIT),
        dict(blocks=2),
        'blocks.0.glore blocks.1.glore',
        'NLC',
        prefix=2,
    ),
    case('timm', 'regnety_004', dict(s3=2), 's3.b2.glore s3.b4.glore'),
    case(
        'timm',
        'densenet121',
        ['features.transition1', 'features.denseblock3.denselayer2'],
        'features.transition1.pool.glore features.denseblock3.denselayer2.glore',
    ),
    case('timm', 'efficientnet_b0', {'blocks.4': 1}, 'blocks.4.1.glore'),
    case(
        'timm',
        'hrnet_w18_small',
        {'layer1': (0,), 'stage3.0.branches.1': 1, 'incre_modules.3': 1},
        'layer1.0.glore stage3.0.branches.1.0.glore incre_modules.3.0.glore',
    ),
    case(
        'timm',
        ('maxvit_rmlp_nano_rw_256', SMALL),
        {'stages.1.blocks': 1, 'stages': (2,)},
        'stages.1.blocks.0.glore stages.2.glore',
    ),
    case(
        'timm',
        ('resnet50', dict(features_only=True)),
        dict(layer3=2),
        'layer3.1.glore layer3.3.glore',
    ),
    case(
        'timm',
        ('swin_tiny_patch4_window7_224', dict(SMALL, features_only=True)),
        {'layers_2.blocks': 2},
        'layers_2.blocks.1.glore layers_2.blocks.3.glore',
        'NHWC',
    ),
    case(
        'timm',
        ('vit_tiny_patch16_224', dict(SMALL_VIT, features_only=True)),
        {'model.blocks': 2},
        'model.blocks.0.glore model.blocks.1.glore',
        'NLC',
        prefix=1,
    ),
    case(
        'mmpretrain',
        dict(type='ResNet', depth=18),
        dict(layer1=('input',), layer3=1),
        'layer1.0.glore_input layer3.0.glore',
    ),
    case(
        'mmpretrain',
        dict(type='SwinTransformer', arch=SWIN, img_size=64, pad_small_map=True),
        {'stages.0.blocks': (1,), 'stages.2.blocks': 1},
        'stages.0.blocks.1.glore stages.2.blocks.0.glore',
        'NLC',
    ),
    case(  # stages that return a tuple of tokens and their shape
        'mmpretrain',
        dict(type='SwinTransformer', arch=SWIN, img_size=64, window_size=2),
        ['stages.1'],
        'stages.1.glore',
        'NLC',
        unit=dict(in_channels=48),  # they end in a layer that runs separately
    ),
    case(
        'mmpretrain',
        dict(
            type='VisionTransformer',
            arch=dict(
                embed_dims=48, num_layers=3, num_heads=3, feedforward_channels=96
            ),
            img_size=64,
        ),
        dict(layers=2),
        'layers.0.glore layers.1.glore',
        'NLC',
        prefix=1,
    ),
    case(
        'mmpretrain',
        dict(type='ConvNeXt', arch='atto'),
        {'stages.2': 2},
        'stages.2.1.glore stages.2.3.glore',
    ),
    case(
        'mmpretrain',
        dict(type='RegNet', arch='regnetx_400mf'),
        dict(layer3=2),
        'layer3.1.glore layer3.4.glore',
    ),
    case(
        'mmpretrain',
        dict(type='DenseNet', arch='121'),
        ['stages.0', 'transitions.1', 'stages.2.block.5'],
        'stages.0.glore transitions.1.pool.glore stages.2.block.5.glore',
    ),
    case(
        'mmpretrain',
        dict(type='HRNet', extra=HRNET),
        {'layer1': (0,), 'stage3.0.branches.1': 1, 'stage4.0.branches.3': 1},
        'layer1.0.glore stage3.0.branches.1.0.glore stage4.0.branches.3.0.glore',
    ),
    case(
        'mmseg',
        dict(type='SwinTransformer', pretrain_img_size=64, **SWIN),
        {'stages.0.blocks': 1, 'stages.2.blocks': (1,)},
        'stages.0.blocks.0.glore stages.2.blocks.1.glore',
        'NLC',
    ),
    case(
        'mmseg',
        dict(type='MixVisionTransformer', embed_dims=16, num_layers=(1, 2, 3, 1)),
        {'layers.1.1': (0,), 'layers.2.1': 1},
        'layers.1.1.0.glore layers.2.1.1.glore',
        'NLC',
    ),
    case(
        'mmseg',
        dict(type='ResNetV1c', depth=18, dilations=(1, 1, 2, 4), strides=(1, 2, 1, 1)),
        dict(layer1=('input',), layer3=2),
        'layer1.0.glore_input layer3.0.glore layer3.1.glore',
    ),
    case(
        'mmaction',
        dict(type='ResNet3d', depth=18, pretrained=None),
        dict(layer1=('input',), layer2=1),
        'layer1.0.glore_input layer2.0.glore',
        'NCTHW',
        size=CLIP,
    ),
    case(
        'mmaction',
        SLOW_FAST,
        {'slow_path.layer3': 1, 'fast_path.layer2': (1,)},
        'slow_path.layer3.0.glore fast_path.layer2.1.glore',
        'NCTHW',
        size=(2, 3, 16, 32, 32),
    ),
    case(
        'mmaction',
        dict(
            type='SwinTransformer3D',
            arch=SWIN,
            pretrained=None,
            pretrained2d=False,
            patch_size=(2, 4, 4),
            window_size=(8, 7, 7),
        ),
        {'layers.1.blocks': 1, 'layers.2.blocks': (1,)},
        'layers.1.blocks.0.glore layers.2.blocks.1.glore',
        'NTHWC',
        size=CLIP,
    ),
    case(
        'mmaction',
        dict(
            type='MViT',
            arch=dict(embed_dims=24, num_layers=3, num_heads=1, downscale_indices=[1]),
            spatial_size=64,
            temporal_size=4,
        ),
        dict(blocks=(0, 1)),
        'blocks.0.glore blocks.1.glore',
        'NLC',
        prefix=1,
        size=CLIP,
    ),
    case(  # convolutional blocks in the first two stages
        'mmaction',
        dict(
            type='UniFormer',
            depth=[1, 1, 2, 1],
            img_size=64,
            embed_dim=[16, 32, 48, 64],
            head_dim=16,
            pretrained2d=False,
        ),
        dict(blocks2=1, blocks3=1),
        'blocks2.0.glore blocks3.0.glore',
        'NCTHW',
        size=CLIP,
    ),
]


def run(net, x):
    """Return all tensors of a network's output, with lists and tuples flattened."""

    def flat(outputs):
        if isinstance(outputs, torch.Tensor):
            return [outputs]
        return [tensor for output in outputs for tensor in flat(output)]

    torch.manual_seed(0)  # for networks in training mode
    return flat(net(x))


def backward(net, x):
    net.zero_grad()
    sum(output.square().mean() for output in run(net, x)).backward()


def same(found, expected):
    return all(map(torch.equal, found, expected)) and len(found) == len(expected)


def attributes(net):
    """Attributes of all modules, and the lengths of those that are containers."""
    return {
        name: {
            key: len(value) if isinstance(value, dict) else None
            for key, value in vars(module).items()
        }
        for name, module in net.named_modules()
    }


def apply_unit(unit, x, gives, prefix):
    """Apply a unit to the output of a block."""
    if gives in ('NCHW', 'NCTHW'):
        return unit(x)
    if gives == 'NHWC':
        return unit(x.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
    if gives == 'NTHWC':
        return unit(x.permute(0, 4, 1, 2, 3)).permute(0, 2, 3, 4, 1)
    front, others = x[:, :prefix], x[:, prefix:]
    maps = others.transpose(1, 2).unflatten(2, (-1,) + (1,) * (unit.dim - 1))
    return torch.cat([front, unit(maps).flatten(2).transpose(1, 2)], 1)


def apply_by_hand(net, units, gives, prefix):
    """Add hooks that apply units without inserting them."""

    def behind(unit, block, args, output):
        if isinstance(output, tuple):  # with the shape of its grid
            return apply_unit(unit, output[0], gives, prefix), *output[1:]
        return apply_unit(unit, output, gives, prefix)

    def in_front(unit, block, args):
        return apply_unit(unit, args[0], gives, prefix), *args[1:]

    for path, unit in units.items():
        host, _, name = path.rpartition('.')
        block, unit = net.get_submodule(host), copy.deepcopy(unit)
        if name == 'glore_input':
            block.register_forward_pre_hook(partial(in_front, unit))
        else:
            block.register_forward_hook(partial(behind, unit))


def watch(net, paths):
    """Return a list that collects the outputs of all blocks with units."""
    seen = []
    for path in paths:
        net.get_submodule(path.rpartition('.')[0]).register_forward_hook(
            lambda block, args, output: seen.append(
                output[0] if isinstance(output, tuple) else output
            )
        )
    return seen


@pytest.mark.parametrize(
    ('library', 'network', 'placement', 'paths', 'gives', 'prefix', 'size', 'settings'),
    NETWORKS,
)
def test_network(library, network, placement, paths, gives, prefix, size, settings):
    torch.manual_seed(0)
    plain = build(library, network)
    plain.eval()  # OpenMMLab's return nothing
    for parameter in plain.parameters():  # some start with heads or branches of zeros
        if not parameter.any():
            nn.init.normal_(parameter, std=0.1)
    x = torch.randn(size)
    with torch.no_grad():
        expected = run(plain, x)

    # checkpoints still match
    net = build_with_units(library, network, plain, placement, settings)
    net.eval()
    units = {path: net.get_submodule(path) for path in paths}
    found = {name for name, m in net.named_modules() if isinstance(m, GloRe)}
    assert found == set(paths)
    assert {unit.dim for unit in units.values()} == {len(size) - 2}
    missing, unexpected = net.load_state_dict(plain.state_dict(), strict=False)
    assert not unexpected
    assert {key for key in missing if not key.startswith(tuple(paths))} == set()
    assert missing

    # a new unit changes nothing
    with torch.no_grad():
        assert same(run(net, x), expected)

    # units learn: first the scale that makes them the identity, then all parameters
    trained = copy.deepcopy(net)
    trained.train()
    learning = [trained.get_submodule(path) for path in paths]
    optimizer = torch.optim.SGD(trained.parameters(), lr=0.01)
    backward(trained, x)
    optimizer.step()
    assert all(unit.closing_weight.any() for unit in learning)
    for unit in learning:
        nn.init.ones_(unit.closing_weight)
    backward(trained, x)
    assert all(p.grad.any() for unit in learning for p in unit.parameters())

    # copies have the same outputs
    for unit in units.values():
        nn.init.ones_(unit.blocker.weight)
        nn.init.normal_(unit.blocker.bias)
    with torch.no_grad():
        changed = run(net, x)
        assert not same(changed, expected)
        copied = copy.deepcopy(net)
        for other in (copied, pickle.loads(pickle.dumps(net))):
            assert same(run(other, x), changed)

    # with the map that the block returned
    by_hand = copy.deepcopy(plain)
    apply_by_hand(by_hand, units, gives, prefix)
    seen, seen_by_hand = watch(net, paths), watch(by_hand, paths)
    with torch.no_grad():
        torch.testing.assert_close(run(net, x), run(by_hand, x))
    torch.testing.assert_close(seen, seen_by_hand)

    # units can be removed again
    glore_mm.remove_glore(copied)
    assert copied.state_dict().keys() == plain.state_dict().keys()
    assert attributes(copied) == attributes(plain)
    with torch.no_grad():
        assert same(run(copied, x), expected)
        assert same(run(net, x), changed)
