"""Units in the backbones of every library, through configs and real Runners."""

import copy
import pickle

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
import glore_mm.preact_resnet

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
# library, backbone, placement, size of an input, paths of the units
BACKBONES = [
    ('mmseg', dict(type='ResNet', depth=18), dict(layer3=1), IMAGE, 'layer3.glore0'),
    (
        'mmseg',
        dict(type='ResNetV1c', depth=50, dilations=(1, 1, 2, 4), strides=(1, 2, 1, 1)),
        dict(layer2=2, layer3=3),
        IMAGE,
        'layer2.glore0 layer2.glore2 layer3.glore0 layer3.glore2 layer3.glore4',
    ),
    (
        'mmseg',
        dict(type='ResNetV1d', depth=50),
        dict(layer2=(3,)),
        IMAGE,
        'layer2.glore3',
    ),
    ('mmseg', dict(type='ResNeXt', depth=50), dict(layer4=1), IMAGE, 'layer4.glore1'),
    *(
        (
            'mmpretrain',
            dict(type=kind, depth=50),
            dict(layer3=1),
            IMAGE,
            'layer3.glore2',
        )
        for kind in ('ResNet', 'ResNeXt', 'SEResNet')
    ),
    (
        'mmpretrain',
        dict(type='PreActResNet', depth=50, stage_blocks=(1, 2, 3, 1)),
        dict(layer2=1, layer3=3),
        IMAGE,
        'layer2.glore0 layer3.glore0 layer3.glore1 layer3.glore2',
    ),
    (
        'mmpretrain',
        dict(type='ResNet', depth=18),
        dict(layer1=1),
        IMAGE,
        'layer1.glore0',
    ),
    (  # on the stem and on Res2
        'mmpretrain',
        dict(type='PreActResNet', depth=50, stage_blocks=(2, 1, 1, 1)),
        dict(layer1=('input', 0)),
        IMAGE,
        'layer1.glore0 layer1.glore_input',
    ),
    (
        'mmseg',
        dict(type='ResNetV1c', depth=18),
        dict(layer1=('input',), layer4=(1,)),
        IMAGE,
        'layer1.glore_input layer4.glore1',
    ),
    (
        'mmaction',
        dict(type='ResNet3d', depth=50, pretrained=None),
        dict(layer2=(0, 2)),
        CLIP,
        'layer2.glore0 layer2.glore2',
    ),
    (
        'mmaction',
        dict(type='ResNet3d', depth=18, pretrained=None),
        dict(layer1=('input',)),
        CLIP,
        'layer1.glore_input',
    ),
    (
        'mmaction',
        dict(type='ResNet3dSlowOnly', depth=50, pretrained=None, lateral=False),
        dict(layer3=1),
        CLIP,
        'layer3.glore2',
    ),
    (
        'mmaction',
        SLOW_FAST,
        {'slow_path.layer3': 1, 'fast_path.layer2': (1,)},
        (1, 3, 32, 64, 64),
        'fast_path.layer2.glore1 slow_path.layer3.glore2',
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
    """Units where they belong, the identity after init_weights, checkpoints fit."""
    init_default_scope(library)
    plain = MODELS.build(backbone)
    net = MODELS.build(dict(type='WithGloRe', backbone=backbone, placement=placement))
    assert type(net) is type(plain)
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
    for unit in units(net).values():  # and not by a network that forgets its units
        nn.init.ones_(unit.blocker.weight)
    with pytest.raises(AssertionError):
        assert_same(net, plain, size)


@pytest.mark.parametrize(
    ('library', 'backbone', 'stages', 'placement', 'names'),
    [
        (  # channels grow from block to block
            'mmpretrain',
            dict(type='TIMMBackbone', model_name='dpn68'),
            dict(
                res3='timm_model.features.conv3_*', res4='timm_model.features.conv4_*'
            ),
            dict(res3=2, res4=3),
            'conv3_1 conv3_3 conv4_3 conv4_6 conv4_9',
        ),
        (  # torchvision's, numbered through
            None,
            'mobilenet_v2',
            dict(middle='features.1[1-3]', last='features.1[4-6]'),
            dict(middle=1, last=(0, 2)),
            '12 14 16',
        ),
    ],
    ids=['dpn', 'mobilenet'],
)
def test_stages_named_by_a_pattern(library, backbone, stages, placement, names):
    """Where all blocks of a network stand in one sequence."""
    if library:
        init_default_scope(library)
        cfg = dict(backbone=backbone, stages=stages, placement=placement)
        plain, net = MODELS.build(backbone), MODELS.build(dict(type='WithGloRe', **cfg))
        sequence = net.timm_model.features
    else:
        from torchvision.models import get_model

        plain = get_model(backbone)
        net = glore_mm.insert_glore(
            copy.deepcopy(plain), placement, dict(num_nodes=4), stages=stages
        )
        sequence = net.features
    children = [name for name, _ in sequence.named_children()]
    for block in names.split():  # right behind its block, and named after it
        unit = children[children.index(block) + 1]
        assert unit == (f'glore{block}' if block.isdigit() else f'glore_{block}')
    assert len(units(net)) == len(names.split())
    _, unexpected = net.load_state_dict(plain.state_dict(), strict=False)
    assert not unexpected
    assert_same(net, plain, IMAGE)
    if library:
        net.init_weights()
        plain.load_state_dict(net.state_dict(), strict=False)
        assert_same(net, plain, IMAGE)
    with pytest.raises(ValueError, match='a second unit behind block [012] of'):
        glore_mm.insert_glore(net, placement, stages=stages)


@pytest.mark.parametrize(
    ('stages', 'message'),
    [
        (
            dict(res3='features.conv*'),
            "stages has 'res3' as 'features.conv.', but no block of 'features' in "
            'MobileNetV2 is so named; they are: 0, 1, 2',
        ),
        (
            dict(res3='layers.conv*'),
            "stages has 'res3' in 'layers', which is no stage of MobileNetV2; its "
            'stages are: res3, features',
        ),
        (
            dict(res9='features.1*'),
            "stages names 'res9', but placement does not: it has 'res3'",
        ),
        (dict(res3='features.1[0-1]'), "3 units in 'res3' of MobileNetV2, which has 2"),
        (dict(res3='1*'), "names in it, such as 'features.conv4_.*'; got '1.*'"),
        ('features.1*', "stages must give names to patterns; got 'features.1.*'"),
    ],
)
def test_wrong_stages(stages, message):
    from torchvision.models import get_model

    net = get_model('mobilenet_v2')
    with pytest.raises((TypeError, ValueError), match=message):
        glore_mm.insert_glore(net, dict(res3=3), stages=stages)
    assert not units(net)


def test_stages_that_share_a_block():
    from torchvision.models import get_model

    net = get_model('mobilenet_v2')
    stages = dict(a='features.1[0-3]', b='features.1[3-5]')
    with pytest.raises(ValueError, match=r'two units behind features\.13'):
        glore_mm.insert_glore(net, dict(a=(3,), b=(0,)), stages=stages)
    assert not units(net)


@pytest.mark.parametrize(
    ('name', 'placement', 'size'),
    [
        ('resnet50', dict(layer2=2, layer3=3), IMAGE),
        ('r3d_18', dict(layer3=(1,)), CLIP),
    ],
)
def test_torchvision(name, placement, size):
    from torchvision.models import get_model

    plain = get_model(name)
    net = glore_mm.insert_glore(copy.deepcopy(plain), placement)
    assert len(units(net)) == {'resnet50': 5, 'r3d_18': 1}[name]
    assert_same(net, plain, size)


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
def test_units_are_the_identity_when_a_runner_starts_and_learn_then(
    library, parts, tmp_path
):
    if library == 'mmseg':
        import glore_mm.seg  # noqa: F401
    model, size, sample = parts()
    seen = {}

    class Look(Hook):
        def before_train(self, runner):  # init_weights is over
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
    """A checkpoint given as Pretrained that holds units brings its units."""
    init_default_scope('mmpretrain')
    cfg = dict(
        type='WithGloRe',
        backbone=dict(type='ResNet', depth=18),
        placement=dict(layer3=1),
    )
    trained = MODELS.build(cfg)
    nn.init.uniform_(trained.layer3.glore0.blocker.weight)
    torch.save(trained.state_dict(), tmp_path / 'trained.pth')
    cfg['backbone']['init_cfg'] = dict(
        type='Pretrained', checkpoint=str(tmp_path / 'trained.pth')
    )
    net = MODELS.build(cfg)
    net.init_weights()
    for key, value in trained.state_dict().items():
        assert torch.equal(net.state_dict()[key], value)


def test_mmseg_pretrained_reaches_the_backbone(tmp_path):
    """Mmseg writes its `pretrained` into the config of the backbone."""
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
@pytest.mark.parametrize('freeze_units', [False, True])
def test_units_in_frozen_stages(library, freeze_units):
    init_default_scope(library)
    backbone = dict(type='ResNet', depth=18, frozen_stages=3, norm_eval=True)
    if library == 'mmaction':
        backbone.update(type='ResNet3d', depth=50, pretrained=None)
    net = MODELS.build(
        dict(
            type='WithGloRe',
            backbone=backbone,
            placement=dict(layer2=1, layer4=1),
            freeze_units=freeze_units,
        )
    )
    net.train()
    frozen, free = units(net).values()
    assert not any(p.requires_grad for p in net.layer2[0].parameters())
    assert {p.requires_grad for p in frozen.parameters()} == {not freeze_units}
    assert frozen.blocker.training is not freeze_units
    assert all(p.requires_grad for p in free.parameters())
    assert free.blocker.training  # norm_eval is for norms that came with statistics
    free.requires_grad_(False)  # what the user froze stays frozen
    net.train()
    assert not any(p.requires_grad for p in free.parameters())


def test_layer_wise_decay_counts_a_unit_as_its_block():
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
    behind = {f'layer{s}.glore{b}': f'layer{s}.{b}' for s in (2, 3) for b in (0, 2)}
    for unit, block in {'layer1.glore_input': 'layer1.0', **behind}.items():
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
        rates[id(layer3.glore4.conv_proj.weight)]
        == (rates[id(layer3.get_submodule('4').conv1.weight)])
    )


def test_copies_and_pickles_keep_their_units_apart():
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
        assert other.layer3.glore0.blocker.training
        assert not net.layer3.glore0.blocker.training
        nn.init.ones_(net.layer3.glore0.blocker.weight)
        other.init_weights()
        assert not other.layer3.glore0.blocker.weight.any()
        assert net.layer3.glore0.blocker.weight.all()


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
        children = [
            name for name, _ in net.get_submodule(f'layer{stage}').named_children()
        ]
        assert [
            int(name[5:]) for name in children if name.startswith('glore')
        ] == blocks
        for block in blocks:  # right behind its block
            assert children[children.index(f'glore{block}') - 1] == str(block)


@pytest.mark.parametrize(
    'unit',
    [dict(type='NonLocal2d', reduction=2), dict(type='ContextBlock', ratio=0.25)],
)
def test_any_registered_block_with_channels_can_be_the_unit(unit):
    """So that modules are compared in the same places."""
    init_default_scope('mmseg')
    backbone = dict(type='ResNet', depth=18)
    net = MODELS.build(
        dict(type='WithGloRe', backbone=backbone, unit=unit, placement=dict(layer3=1))
    )
    assert type(net.layer3.glore0).__name__ == unit['type']
    assert net.layer3.glore0.in_channels == 256
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
    assert net.layer3.glore0.in_channels == 256
    assert net(torch.randn(8, 3, 64, 64)).shape == (8, 512, 2, 2)


def test_unit_takes_device_and_dtype_of_its_stage():
    from torchvision.models import get_model

    net = glore_mm.insert_glore(get_model('resnet18').double(), dict(layer3=1))
    assert net.layer3.glore0.conv_proj.weight.dtype == torch.float64
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
    assert type(net.layer3.glore0.blocker) is nn.SyncBatchNorm
    net = revert_sync_batchnorm(net)
    assert not isinstance(net.layer3.glore0.blocker, nn.SyncBatchNorm)
    net.train()
    net(torch.randn(2, 3, 64, 64))


@pytest.mark.parametrize(
    ('placement', 'message'),
    [
        ({}, 'placement must say which stages get units'),
        (dict(layer9=1), "'layer9', which is no stage of ResNet; its stages are: "
                         'layer1, layer2, layer3, layer4$'),
        (dict(conv1=1), "'conv1', which is no stage"),
        (dict(layer3=3), "3 units in 'layer3' of ResNet, which has 2 blocks: 0 to 2"),
        (dict(layer3=-1), '-1 units'),
        (dict(layer3=(2,)), "block 2 of 'layer3' of ResNet, whose blocks are 0 to 1"),
        (dict(layer3=(0, 0)), 'two units behind layer3.0'),
        (dict(layer1=('input', 'input')), 'two units behind layer1.input'),
        (dict(layer1='input'), r"such as \(0, 2\) or \('input',\); got 'input'"),
        (dict(layer1=('stem',)), r"or 'input', .* got \('stem',\)"),
        (dict(layer3='all'), "a number of units or a sequence of blocks.* got 'all'"),
    ],
)  # fmt: skip
def test_wrong_placements(placement, message):
    from torchvision.models import get_model

    net = get_model('resnet18')
    with pytest.raises((TypeError, ValueError), match=message):
        glore_mm.insert_glore(net, placement)
    assert not units(net)


def test_a_second_insertion_keeps_the_first():
    from torchvision.models import get_model

    net = glore_mm.insert_glore(get_model('resnet18'), dict(layer3=(0,)))
    first = net.layer3.glore0
    glore_mm.insert_glore(net, dict(layer3=(1,)))
    assert [name for name, _ in net.layer3.named_children()] == [
        '0', 'glore0', '1', 'glore1',
    ]  # fmt: skip
    assert net.layer3.glore0 is first
    with pytest.raises(ValueError, match='a second unit behind block 0'):
        glore_mm.insert_glore(net, dict(layer3=(0,)))
    glore_mm.insert_glore(net, dict(layer1=('input',)))
    with pytest.raises(ValueError, match="a second unit at the input of 'layer1'"):
        glore_mm.insert_glore(net, dict(layer1=(0, 'input')))


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
