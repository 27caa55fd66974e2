"""Units in backbones of all libraries, with configs and real Runners."""

import copy
import functools
import gc
import pickle
import weakref
from typing import NamedTuple

import pytest
import torch
from mmengine.config import ConfigDict
from mmengine.dataset import pseudo_collate
from mmengine.hooks import Hook
from mmengine.model import revert_sync_batchnorm
from mmengine.registry import MODELS, init_default_scope
from mmengine.runner import Runner
from torch import nn
from torch.utils.data import Dataset

import glore_mm
import glore_mm.models.preact_resnet

IMAGE = (1, 3, 64, 64)
CLIP = (1, 3, 8, 64, 64)
SLOW_FAST = dict(
    type='ResNet3dSlowFast',
    pretrained=None,
    resample_rate=4,
    speed_ratio=4,
    channel_ratio=8,
    slow_pathway=dict(type='resnet3d', depth=50, lateral=True),
    fast_pathway=dict(type='resnet3d', depth=50, lateral=False, base_channels=8),
)
# library, backbone, placement, input size, paths of the units
BACKBONES = [
    ('mmseg', dict(type='ResNet', depth=18), dict(layer3=1), IMAGE, 'layer3.0.glore'),
    (
        'mmseg',
        dict(type='ResNetV1c', depth=50, dilations=(1, 1, 2, 4), strides=(1, 2, 1, 1)),
        dict(layer2=2, layer3=3),
        IMAGE,
        'layer2.0.glore layer2.2.glore layer3.0.glore layer3.2.glore layer3.4.glore',
    ),
    (
        'mmseg',
        dict(type='ResNetV1d', depth=50),
        dict(layer2=(3,)),
        IMAGE,
        'layer2.3.glore',
    ),
    ('mmseg', dict(type='ResNeXt', depth=50), dict(layer4=1), IMAGE, 'layer4.1.glore'),
    *(
        (
            'mmpretrain',
            dict(type=kind, depth=50),
            dict(layer3=1),
            IMAGE,
            'layer3.2.glore',
        )
        for kind in ('ResNet', 'ResNeXt', 'SEResNet')
    ),
    (
        'mmpretrain',
        dict(type='PreActResNet', depth=50, stage_blocks=(1, 2, 3, 1)),
        dict(layer2=1, layer3=3),
        IMAGE,
        'layer2.0.glore layer3.0.glore layer3.1.glore layer3.2.glore',
    ),
    (
        'mmpretrain',
        dict(type='ResNet', depth=18),
        dict(layer1=1),
        IMAGE,
        'layer1.0.glore',
    ),
    (  # on the stem and on Res2
        'mmpretrain',
        dict(type='PreActResNet', depth=50, stage_blocks=(2, 1, 1, 1)),
        dict(layer1=('input', 0)),
        IMAGE,
        'layer1.0.glore layer1.0.glore_input',
    ),
    (
        'mmseg',
        dict(type='ResNetV1c', depth=18),
        dict(layer1=('input',), layer4=(1,)),
        IMAGE,
        'layer1.0.glore_input layer4.1.glore',
    ),
    (
        'mmaction',
        dict(type='ResNet3d', depth=50, pretrained=None),
        dict(layer2=(0, 2)),
        CLIP,
        'layer2.0.glore layer2.2.glore',
    ),
    (
        'mmaction',
        dict(type='ResNet3d', depth=18, pretrained=None),
        dict(layer1=('input',)),
        CLIP,
        'layer1.0.glore_input',
    ),
    (
        'mmaction',
        dict(type='ResNet3dSlowOnly', depth=50, pretrained=None, lateral=False),
        dict(layer3=1),
        CLIP,
        'layer3.2.glore',
    ),
    (
        'mmaction',
        SLOW_FAST,
        {'slow_path.layer3': 1, 'fast_path.layer2': (1,)},
        (1, 3, 32, 64, 64),
        'fast_path.layer2.1.glore slow_path.layer3.2.glore',
    ),
]
IDS = [
    f'{library}-{net["type"]}{net.get("depth", "")}' for library, net, *_ in BACKBONES
]


def units(net: nn.Module) -> dict[str, nn.Module]:
    return {
        name: module
        for name, module in net.named_modules()
        if isinstance(module, glore_mm.unit.GloRe)
    }


def flat(outputs) -> list[torch.Tensor]:
    if isinstance(outputs, torch.Tensor):
        return [outputs]
    return [tensor for output in outputs for tensor in flat(output)]


def assert_same(net: nn.Module, plain: nn.Module, size: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    x = torch.randn(size)
    net.eval()
    plain.eval()
    with torch.no_grad():
        for found, expected in zip(flat(net(x)), flat(plain(x)), strict=True):
            assert torch.equal(found, expected)


@pytest.mark.parametrize(
    ('library', 'backbone', 'placement', 'size', 'paths'), BACKBONES, ids=IDS
)
def test_every_backbone(library, backbone, placement, size, paths):
    """Units in the right places, the identity at first, with matching checkpoints."""
    init_default_scope(library)
    plain = MODELS.build(backbone)
    net = MODELS.build(dict(type='WithGloRe', backbone=backbone, placement=placement))
    assert isinstance(net, type(plain))
    assert type(net).__name__ == type(plain).__name__
    assert sorted(units(net)) == paths.split()
    assert {type(unit).dim for unit in units(net).values()} == {len(size) - 2}

    missing, unexpected = net.load_state_dict(plain.state_dict(), strict=False)
    assert not unexpected
    assert missing
    assert all(key.startswith(tuple(paths.split())) for key in missing)
    assert_same(net, plain, size)

    net.init_weights()
    plain.load_state_dict(net.state_dict(), strict=False)
    assert_same(net, plain, size)
    for unit in units(net).values():  # not even by a network that loses its units
        nn.init.ones_(unit.blocker.weight)
    with pytest.raises(AssertionError):
        assert_same(net, plain, size)


@pytest.mark.parametrize(
    ('library', 'backbone', 'placement', 'names'),
    [
        (  # the number of channels grows from block to block
            'mmpretrain',
            dict(type='TIMMBackbone', model_name='dpn68'),
            {
                'timm_model.features.conv3_*': 2,
                'timm_model.features.conv4_*': 3,
            },
            'conv3_1 conv3_3 conv4_3 conv4_6 conv4_9',
        ),
        (  # torchvision's, numbered consecutively
            None,
            'mobilenet_v2',
            {'features.1[1-3]': 1, 'features.1[4-6]': (0, 2)},
            '12 14 16',
        ),
    ],
    ids=['dpn', 'mobilenet'],
)
def test_blocks_named_by_a_pattern(library, backbone, placement, names):
    """For networks with all blocks in one Sequential."""
    if library:
        init_default_scope(library)
        cfg = dict(backbone=backbone, placement=placement)
        plain, net = MODELS.build(backbone), MODELS.build(dict(type='WithGloRe', **cfg))
        sequence = net.timm_model.features
    else:
        from torchvision.models import get_model

        plain = get_model(backbone)
        net = glore_mm.insert_glore(copy.deepcopy(plain), placement, dict(num_nodes=4))
        sequence = net.features
    with_units = [
        name for name, child in sequence.named_children() if hasattr(child, 'glore')
    ]
    assert with_units == names.split()
    _, unexpected = net.load_state_dict(plain.state_dict(), strict=False)
    assert not unexpected
    assert_same(net, plain, IMAGE)
    if library:
        net.init_weights()
        plain.load_state_dict(net.state_dict(), strict=False)
        assert_same(net, plain, IMAGE)
    with pytest.raises(ValueError, match='a second unit after .*features'):
        glore_mm.insert_glore(net, placement)


@pytest.mark.parametrize(
    ('placement', 'message'),
    [
        (
            {'features.conv*': 1},
            "names 'features.conv.', but no block of 'features' in MobileNetV2 "
            "matches it; 'features' has: 0, 1, 2",
        ),
        (
            {'layers.1*': 1},
            "names 'layers', which is not a module of MobileNetV2; it has: features, ",
        ),
        ({'features.1[0-1]': 3}, "3 units in 'features.1.0-1.' of MobileNetV2, which "
                                 'has 2 blocks'),
        (
            {'features.1[0-3]': (3,), 'features.1[3-5]': (0,)},
            r'two units after features\.13',
        ),
    ],
)  # fmt: skip
def test_wrong_patterns(placement, message):
    from torchvision.models import get_model

    net = get_model('mobilenet_v2')
    with pytest.raises(ValueError, match=message):
        glore_mm.insert_glore(net, placement)
    assert not units(net)


class Samples(Dataset):
    """Two random inputs with the data samples of a library."""

    metainfo = dict(classes=('a', 'b'), palette=[[0, 0, 0], [255, 0, 0]])

    def __init__(self, size, sample):
        self.size, self.sample = size, sample

    def __len__(self):
        return 2

    def __getitem__(self, index):
        inputs = torch.randint(0, 256, self.size, dtype=torch.uint8)
        return dict(inputs=inputs, data_samples=self.sample())


def segmentation():
    from mmengine.structures import PixelData
    from mmseg.structures import SegDataSample

    def sample():
        labels = PixelData(data=torch.randint(0, 2, (1, 64, 64)))
        return SegDataSample(gt_sem_seg=labels, metainfo=dict(img_shape=(64, 64)))

    head = dict(in_channels=512, channels=16, num_classes=2, norm_cfg=dict(type='BN'))
    model = dict(
        type='EncoderDecoder',
        data_preprocessor=dict(type='SegDataPreProcessor', size=(64, 64)),
        backbone=dict(
            type='WithGloRe',
            backbone=dict(type='ResNetV1c', depth=18),
            placement=dict(layer3=2),
        ),
        decode_head=dict(type='GloReHead', in_index=3, **head),
    )
    return model, (3, 64, 64), sample


def classification():
    from mmpretrain.structures import DataSample

    model = dict(
        type='ImageClassifier',
        data_preprocessor=dict(type='ClsDataPreprocessor', num_classes=2),
        backbone=dict(
            type='WithGloRe',
            backbone=dict(type='ResNet', depth=18),
            placement=dict(layer2=(1,)),
        ),
        neck=dict(type='GlobalAveragePooling'),
        head=dict(type='LinearClsHead', num_classes=2, in_channels=512, topk=1),
    )
    return model, (3, 64, 64), lambda: DataSample().set_gt_label(1)


def video():
    from mmaction.structures import ActionDataSample

    model = dict(
        type='Recognizer3D',
        data_preprocessor=dict(
            type='ActionDataPreprocessor',
            mean=[128.0] * 3,
            std=[64.0] * 3,
            format_shape='NCTHW',
        ),
        backbone=dict(
            type='WithGloRe',
            backbone=dict(
                type='ResNet3dSlowOnly', depth=50, pretrained=None, lateral=False
            ),
            placement=dict(layer3=2),
        ),
        cls_head=dict(type='I3DHead', num_classes=2, in_channels=2048),
    )
    return model, (1, 3, 4, 64, 64), lambda: ActionDataSample().set_gt_label(1)


@pytest.mark.parametrize(
    ('library', 'parts'),
    [('mmseg', segmentation), ('mmpretrain', classification), ('mmaction', video)],
)
def test_units_are_the_identity_when_a_runner_starts_and_then_learn(
    library, parts, tmp_path
):
    if library == 'mmseg':
        import glore_mm.seg  # noqa: F401
    model, size, sample = parts()
    seen = {}

    class Look(Hook):
        def before_train(self, runner):  # init_weights has run
            net = runner.model
            seen['units'] = units(net)
            with torch.no_grad():
                for unit in seen['units'].values():
                    size = (2, unit.in_channels, *(9,) * unit.dim)
                    x = torch.randn(size)
                    assert torch.equal(unit(x), x)
            plain = MODELS.build(model['backbone']['backbone'])
            plain.load_state_dict(net.backbone.state_dict(), strict=False)
            assert_same(net.backbone, plain, (1, *seen['input']))
            net.train()

    seen['input'] = size if library != 'mmaction' else size[1:]
    runner = Runner(
        model=model,
        work_dir=str(tmp_path),
        experiment_name=f'{library}-{tmp_path.name}',
        default_scope=library,
        train_dataloader=dict(
            dataset=Samples(size, sample),
            batch_size=2,
            sampler=dict(type='InfiniteSampler'),
            collate_fn=pseudo_collate,
        ),
        train_cfg=dict(type='IterBasedTrainLoop', max_iters=2),
        optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.1)),
        custom_hooks=[dict(type=Look)],
        log_level='ERROR',
    )
    runner.train()
    assert seen['units']
    for unit in seen['units'].values():
        assert unit.blocker.weight.abs().max() > 0


def test_pretrained_units_are_not_reset(tmp_path):
    """A Pretrained checkpoint with units initialises the units."""
    init_default_scope('mmpretrain')
    cfg = dict(
        type='WithGloRe',
        backbone=dict(type='ResNet', depth=18),
        placement=dict(layer3=1),
    )
    trained = MODELS.build(cfg)
    nn.init.uniform_(trained.layer3[0].glore.blocker.weight)
    torch.save(trained.state_dict(), tmp_path / 'trained.pth')
    cfg['backbone']['init_cfg'] = dict(
        type='Pretrained', checkpoint=str(tmp_path / 'trained.pth')
    )
    net = MODELS.build(cfg)
    net.init_weights()
    for key, value in trained.state_dict().items():
        assert torch.equal(net.state_dict()[key], value)


def test_a_backbone_without_init_weights():
    """A plain nn.Module, as in docs/extending.md."""

    @MODELS.register_module(force=True)
    class PlainBackbone(nn.Module):
        def __init__(self):
            super().__init__()
            self.body = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU())

        def forward(self, x):
            return (self.body(x),)

    backbone = dict(type='PlainBackbone')
    net = MODELS.build(dict(type='WithGloRe', backbone=backbone, placement=['body.0']))
    nn.init.ones_(net.body[0].glore.closing_weight)
    net.init_weights()
    assert not net.body[0].glore.closing_weight.any()


def test_pretrained_of_mmseg_reaches_the_backbone(tmp_path):
    """mmseg writes its `pretrained` into the config of the backbone."""
    import glore_mm.seg  # noqa: F401

    init_default_scope('mmseg')
    model, *_ = segmentation()
    plain = MODELS.build(model['backbone']['backbone'])
    torch.save(plain.state_dict(), tmp_path / 'plain.pth')
    cfg = ConfigDict(model, pretrained=str(tmp_path / 'plain.pth'))
    net = MODELS.build(cfg)
    net.init_weights()
    assert torch.equal(
        net.backbone.layer4[0].conv1.weight, plain.layer4[0].conv1.weight
    )


@pytest.mark.parametrize('library', ['mmseg', 'mmpretrain', 'mmaction'])
def test_units_in_frozen_stages(library):
    init_default_scope(library)
    backbone = dict(type='ResNet', depth=18, frozen_stages=3, norm_eval=True)
    if library == 'mmaction':
        backbone.update(type='ResNet3d', depth=50, pretrained=None)
    net = MODELS.build(
        dict(
            type='WithGloRe',
            backbone=backbone,
            placement=dict(layer2=1, layer4=1),
        )
    )
    net.train()
    in_frozen, free = units(net).values()
    assert not any(p.requires_grad for p in net.layer2[0].conv1.parameters())
    for unit in (in_frozen, free):
        assert all(p.requires_grad for p in unit.parameters())
        assert unit.blocker.training  # norm_eval is for pretrained statistics
    free.requires_grad_(False)  # parameters that the user froze stay frozen
    net.train()
    assert not any(p.requires_grad for p in free.parameters())


def test_layer_wise_decay_treats_a_unit_as_its_block():
    init_default_scope('mmpretrain')
    net = MODELS.build(
        dict(
            type='ImageClassifier',
            backbone=dict(
                type='WithGloRe',
                backbone=dict(type='ResNet', depth=50),
                placement=dict(layer1=('input',), layer2=2, layer3=3),
            ),
            neck=dict(type='GlobalAveragePooling'),
            head=dict(type='LinearClsHead', num_classes=2, in_channels=2048),
        )
    )
    behind = {f'layer{s}.{b}.glore': f'layer{s}.{b}' for s in (2, 3) for b in (0, 2)}
    for unit, block in {'layer1.0.glore_input': 'layer1.0', **behind}.items():
        depth = net.get_layer_depth(f'backbone.{unit}.conv_proj.weight')
        assert depth == net.get_layer_depth(f'backbone.{block}.conv1.weight')

    from mmengine.optim import build_optim_wrapper

    wrapper = build_optim_wrapper(
        net,
        dict(
            constructor='LearningRateDecayOptimWrapperConstructor',
            optimizer=dict(type='SGD', lr=0.1, weight_decay=1e-4),
            paramwise_cfg=dict(layer_decay_rate=0.5),
        ),
    )
    rates = {
        id(p): g['lr'] for g in wrapper.optimizer.param_groups for p in g['params']
    }
    layer3 = net.backbone.layer3
    assert (
        rates[id(layer3[4].glore.conv_proj.weight)] == rates[id(layer3[4].conv1.weight)]
    )


def test_copies_and_pickles_have_their_own_units():
    init_default_scope('mmpretrain')
    net = MODELS.build(
        dict(
            type='WithGloRe',
            backbone=dict(type='ResNet', depth=18, frozen_stages=4),
            placement=dict(layer3=1),
        )
    )
    for other in (copy.deepcopy(net), pickle.loads(pickle.dumps(net))):
        net.eval()
        other.train()
        assert other.layer3[0].glore.blocker.training
        assert not net.layer3[0].glore.blocker.training
        nn.init.ones_(net.layer3[0].glore.blocker.weight)
        other.init_weights()
        assert not other.layer3[0].glore.blocker.weight.any()
        assert net.layer3[0].glore.blocker.weight.all()


@pytest.mark.parametrize(
    ('depth', 'placement', 'expected'),
    [
        (50, dict(layer2=2, layer3=3), {2: [0, 2], 3: [0, 2, 4]}),
        (101, dict(layer2=2, layer3=3), {2: [0, 2], 3: [5, 11, 17]}),
        (50, dict(layer2=0, layer3=6), {2: [], 3: [0, 1, 2, 3, 4, 5]}),
        (50, dict(layer3=[5, 1]), {3: [1, 5]}),
    ],
)
def test_a_number_spreads_units_as_the_paper_does(depth, placement, expected):
    from torchvision.models import get_model

    net = glore_mm.insert_glore(get_model(f'resnet{depth}'), placement)
    for stage, blocks in expected.items():
        stage = net.get_submodule(f'layer{stage}')
        assert [i for i, block in enumerate(stage) if hasattr(block, 'glore')] == blocks


@pytest.mark.parametrize(
    'unit',
    [dict(type='NonLocal2d', reduction=2), dict(type='ContextBlock', ratio=0.25)],
)
def test_other_registered_blocks_can_be_inserted(unit):
    """To compare modules in the same places."""
    init_default_scope('mmseg')
    backbone = dict(type='ResNet', depth=18)
    net = MODELS.build(
        dict(type='WithGloRe', backbone=backbone, unit=unit, placement=dict(layer3=1))
    )
    assert type(net.layer3[0].glore).__name__ == unit['type']
    assert net.layer3[0].glore.in_channels == 256
    net.init_weights()
    assert net(torch.randn(IMAGE))[-1].shape == (1, 512, 2, 2)


def test_blocks_that_shift_along_time():
    init_default_scope('mmaction')
    net = MODELS.build(
        dict(
            type='WithGloRe',
            backbone=dict(
                type='ResNetTSM', depth=18, pretrained=None, pretrained2d=False
            ),
            placement=dict(layer3=1),
        )
    )
    net.init_weights()
    assert net.layer3[0].glore.in_channels == 256
    assert net(torch.randn(8, 3, 64, 64)).shape == (8, 512, 2, 2)


def test_a_unit_has_device_and_dtype_of_its_stage():
    from torchvision.models import get_model

    net = glore_mm.insert_glore(get_model('resnet18').double(), dict(layer3=1))
    assert net.layer3[0].glore.conv_proj.weight.dtype == torch.float64
    assert net(torch.randn(2, 3, 64, 64, dtype=torch.float64)).dtype == torch.float64


def test_sync_bn_in_units_reverts_with_the_rest():
    init_default_scope('mmseg')
    net = MODELS.build(
        dict(
            type='WithGloRe',
            backbone=dict(type='ResNet', depth=18, norm_cfg=dict(type='SyncBN')),
            unit=dict(norm_cfg=dict(type='SyncBN')),
            placement=dict(layer3=1),
        )
    )
    assert type(net.layer3[0].glore.blocker) is nn.SyncBatchNorm
    net = revert_sync_batchnorm(net)
    assert not isinstance(net.layer3[0].glore.blocker, nn.SyncBatchNorm)
    net.train()
    net(torch.randn(2, 3, 64, 64))


@pytest.mark.parametrize(
    ('placement', 'message'),
    [
        ({}, 'placement must say where units go'),
        ([], 'placement must say where units go'),
        ('layer3', "placement must say where units go.*got 'layer3'"),
        (dict(layer9=1), "'layer9', which is not a module of ResNet; it has: conv1, "
                         'bn1, relu, maxpool, layer1, layer2, layer3, layer4, avgpoo'),
        (['layer3.7'], "'layer3.7', which is not a module of ResNet; layer3 has: 0, 1"),
        (dict(conv1=1), "'conv1', which has no blocks in ResNet: Conv2d has no chil"),
        ({'layer3.0': 1}, "'layer3.0', which has no blocks in ResNet: BasicBlock has "
                          r"conv1, .* or the module itself: placement=\['layer3.0'\]"),
        (dict(layer3=3), "3 units in 'layer3' of ResNet, which has 2 blocks: 0 to 2"),
        (dict(layer3=-1), '-1 units'),
        (dict(layer3=(2,)), "block 2 of 'layer3' of ResNet, whose blocks are 0 to 1"),
        (dict(layer3=(0, 0)), 'two units after layer3.0'),
        (['layer3.0', 'layer3.0'], 'two units after layer3.0'),
        (dict(layer1=('input', 'input')), 'two units at the input of layer1.0'),
        (dict(layer1='input'), r"such as \(0, 2\) or \('input',\); got 'input'"),
        (dict(layer1=('stem',)), r"or 'input', .* got \('stem',\)"),
        (dict(layer3='all'), "a number of units or a sequence of blocks.* got 'all'"),
        (['maxpool'], r'after maxpool \(MaxPool2d\) is unknown.*in_channels='),
    ],
)  # fmt: skip
def test_wrong_placements(placement, message):
    from torchvision.models import get_model

    net = get_model('resnet18')
    with pytest.raises((TypeError, ValueError), match=message):
        glore_mm.insert_glore(net, placement)
    assert not units(net)


class Pair(nn.Conv2d):
    """A block that returns two tensors."""

    def forward(self, x):
        return super().forward(x), x


@pytest.mark.parametrize(
    ('blocks', 'options', 'message'),
    [
        ([Pair(8, 8, 1)], {}, 'output of 0 is not a single tensor, but tuple of Tens'),
        ([nn.Conv2d(8, 8, 1)], dict(unit=dict(in_channels=4, num_nodes=1)),
         r'0 gives \(1, 8, 9, 9\); its unit expects 4 channels .*in_channels='),
        ([nn.Conv2d(8, 8, 1)], dict(layout='NHWC'), '8 channels in the layout NHWC'),
        ([nn.Conv2d(8, 8, 1)], dict(layout='HWC'), "must be one of NCL, .* got 'HWC'"),
        ([nn.Conv2d(8, 8, 1)], dict(layout='NCTHW'), r'gives \(1, 8, 9, 9\).*layo'),
        ([nn.Conv2d(8, 8, 1)], dict(num_prefix_tokens=-1), 'at least 0; got -1'),
        ([nn.Flatten(), nn.Linear(648, 9)], dict(unit=dict(in_channels=648)),
         r'0 gives \(1, 648\); its unit expects 648 channels'),
        ([nn.ModuleList([nn.Conv2d(8, 8, 1)])], {}, r'0 \(ModuleList\) is a container'),
        ([torch.jit.script(nn.Conv2d(8, 8, 1))], {}, '0 is scripted or traced'),
    ],
)  # fmt: skip
def test_blocks_that_cannot_have_a_unit(blocks, options, message):
    net = nn.Sequential(*blocks)
    with pytest.raises((TypeError, ValueError), match=message):
        glore_mm.insert_glore(net, ['0'], **options)(torch.randn(1, 8, 9, 9))


def test_torch_blocks_that_cannot_have_a_unit():
    layer = nn.TransformerEncoderLayer(16, 2, 32, batch_first=False)
    with pytest.raises(ValueError, match=r'takes \(L, N, C\): build it with batch_'):
        glore_mm.insert_glore(nn.TransformerEncoder(layer, 2), dict(layers=1))
    layer = nn.TransformerEncoderLayer(16, 2, 32, batch_first=True)
    with pytest.raises(ValueError, match='out_proj is never called: MultiheadAtt'):
        glore_mm.insert_glore(layer, ['self_attn.out_proj'])
    net = glore_mm.insert_glore(nn.TransformerEncoder(layer, 2), dict(layers=1))
    assert net.layers[0].glore.in_channels == 16
    assert net(torch.randn(2, 9, 16)).shape == (2, 9, 16)
    decoder = nn.TransformerDecoderLayer(16, 2, 32, batch_first=True)
    net = nn.ModuleList([decoder])
    glore_mm.insert_glore(net, {'[0]': ('input',)})
    with pytest.raises(TypeError, match='the input of 0 is not a single tensor'):
        net[0](tgt=torch.randn(2, 9, 16), memory=torch.randn(2, 4, 16))


class SequenceFirst(nn.Module):
    """A block with the attention of PyTorch in its default layout, (L, N, C)."""

    def __init__(self, converts=False):
        super().__init__()
        self.attn = nn.MultiheadAttention(16, 2)
        self.mlp = nn.Linear(16, 16)
        self.converts = converts

    def forward(self, x):
        x = x.transpose(0, 1) if self.converts else x
        x = self.mlp(self.attn(x, x, x)[0])
        return x.transpose(0, 1) if self.converts else x


def test_samples_of_a_batch_are_not_mixed():
    net = nn.Sequential(SequenceFirst(), nn.ReLU())
    with pytest.raises(
        ValueError, match=r'0 \(SequenceFirst\) takes \(L, N, C\): build'
    ):
        glore_mm.insert_glore(net, ['0'])
    net = nn.Sequential(SequenceFirst(converts=True), nn.ReLU())
    glore_mm.insert_glore(net, ['0'], layout='NLC')
    assert net(torch.randn(2, 9, 16)).shape == (2, 9, 16)


def test_nested_tensors():
    """PyTorch leaves out the padding of an encoder by nested tensors."""
    layer = nn.TransformerEncoderLayer(16, 2, 32, batch_first=True)
    net = glore_mm.insert_glore(nn.TransformerEncoder(layer, 2), dict(layers=(0,)))
    padding = torch.zeros(2, 9, dtype=torch.bool)
    padding[0, 5:] = True
    with torch.no_grad(), pytest.raises(TypeError, match='enable_nested_tensor=False'):
        net.eval()(torch.randn(2, 9, 16), src_key_padding_mask=padding)


def test_one_block_with_two_names():
    block = nn.Conv2d(8, 8, 1)
    net = nn.ModuleDict(dict(a=nn.Sequential(block), b=nn.Sequential(block)))
    with pytest.raises(ValueError, match='two units after b.0, which is also a.0'):
        glore_mm.insert_glore(net, dict(a=1, b=1))
    net = nn.ModuleDict(dict(a=block, b=block))
    glore_mm.insert_glore(net, ['b'])
    assert isinstance(net['a'].glore, glore_mm.GloRe2d)
    glore_mm.remove_glore(net)
    assert not hasattr(block, 'glore')


def test_norms_of_maps_are_not_channels_last():
    """The width of the map is also the number of its channels."""
    import timm

    net = timm.create_model('convnext_atto', depths=(1, 1, 1, 1), dims=(40, 8, 8, 8))
    glore_mm.insert_glore(net, ['stem'])
    seen = []
    unit = net.stem[1].glore
    unit.register_forward_hook(lambda _, inputs, output: seen.append(inputs[0]))
    x = torch.randn(1, 3, 160, 160)
    net(x)
    assert torch.equal(seen[0], net.stem[1](net.stem[0](x)))


def test_the_patch_embedding_has_no_class_token():
    import timm

    net = timm.create_model('vit_tiny_patch16_224', depth=1, img_size=64)
    glore_mm.insert_glore(net, ['patch_embed'], layout='NLC')
    seen = []
    net.patch_embed.glore.register_forward_hook(lambda _, x, y: seen.append(y.shape))
    net(torch.randn(1, 3, 64, 64))
    assert seen == [(1, 192, 4, 4)]


def test_a_network_that_was_compiled_before():
    net = nn.Sequential(nn.Conv2d(3, 8, 1), nn.ReLU()).eval()
    compiled = torch.compile(net, backend='eager')
    x = torch.randn(1, 3, 9, 9)
    with torch.no_grad():
        plain = compiled(x)
        glore_mm.insert_glore(net, ['0'])
        nn.init.ones_(net[0].glore.closing_weight)
        assert not torch.equal(net(x), plain)
        torch.testing.assert_close(compiled(x), net(x))
        glore_mm.remove_glore(net)
        torch.testing.assert_close(compiled(x), plain)


def test_a_network_wrapped_for_several_processes(tmp_path):
    dist = torch.distributed
    dist.init_process_group('gloo', f'file://{tmp_path}/store', rank=0, world_size=1)
    try:
        net = nn.parallel.DistributedDataParallel(nn.Sequential(nn.Conv2d(3, 8, 1)))
        with pytest.raises(TypeError, match='DistributedDataP.* before wrapping'):
            glore_mm.insert_glore(net, ['module.0'])
    finally:
        del net
        dist.destroy_process_group()


class Named(NamedTuple):
    x: torch.Tensor
    size: int


class NamedOutput(nn.Conv2d):
    """A block that returns a named tuple."""

    def forward(self, x):
        return Named(super().forward(x), 9)


def test_a_named_tuple_is_preserved():
    net = nn.Sequential(NamedOutput(8, 8, 1))
    glore_mm.insert_glore(net, ['0'], dict(in_channels=8))
    found = net(torch.randn(1, 8, 9, 9))
    assert type(found) is Named and found.size == 9


def test_warnings_concern_units_only():
    import timm

    net = timm.create_model('swin_tiny_patch4_window7_224', img_size=64, window_size=2)
    net = glore_mm.insert_glore(net.eval(), {'layers.1.blocks': 1}, dict(num_nodes=4))
    glore_mm.insert_glore(net, ['layers.1'], dict(num_nodes=4))
    assert net(torch.randn(1, 3, 64, 64)).shape == (1, 1000)
    assert net.layers[1].glore.in_channels == 192


@pytest.mark.parametrize(
    ('library', 'backbone', 'placement', 'size', 'seen'),
    [
        (  # its blocks take the shape of the token grid
            'mmseg',
            dict(type='SwinTransformer', embed_dims=24, window_size=2),
            {'stages.1.blocks': 1},
            (1, 3, 32, 64),
            (1, 48, 4, 8),
        ),
        (
            'mmpretrain',
            dict(type='VisionTransformer', arch='deit-tiny', img_size=64),
            ['layers.3'],
            (1, 3, 64, 64),
            (1, 192, 4, 4),
        ),
    ],
)
def test_tokens_are_arranged_in_their_grid(library, backbone, placement, size, seen):
    """So that maps of nodes can be displayed."""
    init_default_scope(library)
    net = MODELS.build(dict(type='WithGloRe', backbone=backbone, placement=placement))
    (unit,) = units(net).values()
    shapes = []
    unit.register_forward_pre_hook(lambda _, args: shapes.append(tuple(args[0].shape)))
    net(torch.randn(size))
    assert shapes == [seen]


def test_patch_merging_has_the_output_of_its_linear_layer():
    from torchvision.models import get_model

    net = glore_mm.insert_glore(get_model('swin_t'), ['features.4', 'features.0'])
    assert [unit.in_channels for unit in units(net).values()] == [96, 384]
    assert net(torch.randn(1, 3, 64, 64)).shape == (1, 1000)


def test_a_backbone_from_a_config_can_be_plain_again():
    init_default_scope('mmpretrain')
    backbone = dict(type='ResNet', depth=18)
    net = MODELS.build(dict(type='WithGloRe', backbone=backbone, placement=['layer3']))
    assert list(units(net)) == ['layer3.1.glore']
    glore_mm.remove_glore(net)
    assert type(net) is type(MODELS.build(backbone)) and not units(net)


def test_a_scripted_network_is_an_error():
    net = torch.jit.script(nn.Sequential(nn.Conv2d(8, 8, 1)))
    with pytest.raises(TypeError, match='a unit into a scripted or traced module'):
        glore_mm.insert_glore(net, ['0'])


def test_the_number_of_prefix_tokens_is_required_if_ambiguous():
    """A CaiT has a class token, but not in all blocks."""
    import timm

    net = timm.create_model('cait_xxs24_224', depth=2, img_size=32)
    with pytest.raises(ValueError, match='has cls_token: .* Give num_prefix_tokens='):
        glore_mm.insert_glore(net, ['blocks.0'])
    glore_mm.insert_glore(net, ['blocks.0'], num_prefix_tokens=0)
    assert net(torch.randn(1, 3, 32, 32)).shape == (1, 1000)


@pytest.mark.parametrize('name', ['class_embedding', 'cls_token_0', 'dist_tokens'])
def test_class_tokens_are_found_by_their_name(name):
    net = nn.Sequential(nn.Linear(8, 8))
    net.register_parameter(name, nn.Parameter(torch.zeros(1, 1, 8)))
    with pytest.raises(ValueError, match=f'has {name}: .* Give num_prefix_tokens='):
        glore_mm.insert_glore(net, ['0'], unit=dict(in_channels=8), layout='NLC')


def test_a_second_insertion_adds_units():
    from torchvision.models import get_model

    net = glore_mm.insert_glore(get_model('resnet18'), dict(layer3=(0,)))
    first = net.layer3[0].glore
    glore_mm.insert_glore(net, dict(layer3=(1,)))
    assert len(units(net)) == 2
    assert net.layer3[0].glore is first
    with pytest.raises(ValueError, match=r'a second unit after layer3\.0'):
        glore_mm.insert_glore(net, dict(layer3=(0,)))
    glore_mm.insert_glore(net, dict(layer1=('input',)))
    with pytest.raises(ValueError, match=r'a second unit at the input of layer1\.0'):
        glore_mm.insert_glore(net, dict(layer1=(0, 'input')))
    assert len(units(net)) == 3


def test_a_user_s_block_instead_of_a_unit():
    net = glore_mm.insert_glore(
        nn.Sequential(nn.Conv2d(3, 8, 1)),
        ['0'],
        dict(kernel_size=3, padding=1),
        build=lambda dim, in_channels, **options: nn.Conv2d(
            in_channels, in_channels, **options
        ),
    )
    x = torch.randn(1, 3, 9, 9)
    expected = net[0].glore(nn.functional.conv2d(x, net[0].weight, net[0].bias))
    assert torch.equal(net(x), expected)
    assert list(glore_mm.remove_glore(net).state_dict()) == ['0.weight', '0.bias']


def test_the_network_can_be_freed():
    """No method of the network is replaced, and nothing keeps a reference to it."""
    net = nn.Sequential(nn.Conv2d(3, 8, 1), nn.BatchNorm2d(8))
    own_train = net.train
    net.train = functools.partial(own_train, False)  # as to freeze batch norm
    glore_mm.insert_glore(net, ['0'])
    assert not net.train().training
    del net.train, own_train
    assert copy.copy(net).eval() is not net and net.train().training
    net(torch.randn(1, 3, 9, 9))
    unit = weakref.ref(net[0].glore)
    gc.disable()
    try:
        del net
        assert unit() is None
    finally:
        gc.enable()


def test_with_glore_needs_a_config():
    with pytest.raises(TypeError, match="backbone must be a config with a 'type'"):
        glore_mm.WithGloRe(backbone='resnet18', placement=dict(layer3=1))


def test_unknown_unit():
    init_default_scope('mmseg')
    with pytest.raises(KeyError, match='GloRe4d is not in the'):
        MODELS.build(
            dict(
                type='WithGloRe',
                backbone=dict(type='ResNet', depth=18),
                unit=dict(type='GloRe4d'),
                placement=dict(layer3=1),
            )
        )
