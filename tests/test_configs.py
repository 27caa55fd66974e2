"""Every config builds and differs from its baseline only in what it is for."""

import copy
from collections import defaultdict
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from config_parts import upstream_config, without_scopes
from mmaction.structures import ActionDataSample
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper
from mmengine.registry import (
    DATASETS,
    HOOKS,
    MODELS,
    PARAM_SCHEDULERS,
    init_default_scope,
)
from mmengine.structures import PixelData
from mmengine.utils import import_modules_from_strings
from paths import ROOT

import glore_mm
from glore_mm.analysis.cost import count_flops
from glore_mm.apis.ablate import read_ablation
from glore_mm.apis.cost import network_cost
from glore_mm.apis.tasks import get_task
from glore_mm.config.build import build_model
from glore_mm.config.load import load_config
from glore_mm.insertion import find_units
from glore_mm.models.dual_path import DualPathGloRe2d
from glore_mm.video.task import TASK

SEG, CLS, VIDEO, DET = (
    sorted((ROOT / 'configs' / task).glob('*.py'))
    for task in ('seg', 'cls', 'video', 'det')
)


def read(name: str, task: str = 'seg') -> Config:
    return Config.fromfile(ROOT / 'configs' / task / f'{name}.py')


def build(cfg: Config):
    init_default_scope(cfg.default_scope)
    if cfg.default_scope == 'mmseg':
        cfg.model.pretrained = None  # no downloads
    else:
        import_modules_from_strings(**cfg.custom_imports)
    return MODELS.build(cfg.model)


def differences(a, b, path='') -> set[str]:
    """Paths of the keys in which two configs differ."""
    if isinstance(a, dict) and isinstance(b, dict):
        return {
            found
            for key in a.keys() | b.keys()
            for found in differences(a.get(key), b.get(key), f'{path}.{key}')
        }
    return set() if a == b else {path.lstrip('.')}


#: Without the usual augmentation; other tests train them.
OTHER_SEG = ('fcn_long_range', 'glore_long_range', 'glore_windows_r18_custom')


@pytest.mark.parametrize(
    'path', [p for p in SEG if p.stem not in OTHER_SEG], ids=lambda path: path.stem
)
def test_builds(path):
    cfg = Config.fromfile(path)
    if path.stem.endswith('custom'):  # the files give the number of classes
        for head in ('decode_head', 'auxiliary_head'):
            if head in cfg.model:
                cfg.model[head].num_classes = 2
    model = build(cfg)
    units = [m for m in model.modules() if isinstance(m, glore_mm.unit.GloRe)]
    glore, in_backbone = path.stem.startswith('glore'), 0
    for name, number in (('backbone', 5), ('upernet', 3), ('segformer', 2)):
        in_backbone = number if name in path.stem and glore else in_backbone
    assert len(units) == (in_backbone or glore)
    assert all(unit.normalize for unit in units)
    crop = next(t for t in cfg.train_pipeline if t.type == 'RandomCrop').crop_size
    resize = next(t for t in cfg.train_pipeline if t.type == 'RandomResize').scale
    assert crop == cfg.model.data_preprocessor.size
    resize = (1024, 1024) if path.stem.endswith('loveda') else resize
    resized = dict(type='Resize', scale=list(resize), keep_ratio=True)
    assert without_scopes(cfg.test_pipeline[1]) == resized
    numbers = {'voc12aug': 21, 'camvid': 11, 'ade20k': 150, 'pascal-context': 59,
               'pascal-context-60': 60, 'coco-stuff164k': 171, 'loveda': 7,
               'chase-db1': 2, 'custom': 2}  # fmt: skip
    classes = numbers.get(path.stem.rpartition('_')[2], 19)
    assert model.decode_head.num_classes == classes
    without = any(name in path.stem for name in ('released', 'segformer', 'lite0'))
    assert model.with_auxiliary_head == (not without)
    if model.with_auxiliary_head:
        assert model.auxiliary_head.num_classes == classes


def test_the_networks_of_the_demo_differ_only_in_the_unit():
    plain, glore = (
        read(name)._cfg_dict.to_dict()
        for name in ('fcn_long_range', 'glore_long_range')
    )
    assert len(find_units(build(read('glore_long_range')))) == 1
    glore['model']['backbone'] = glore['model']['backbone']['backbone']
    assert differences(glore, plain) == set()


def test_the_main_config():
    cfg = read('glore_cityscapes')
    backbone = cfg.model.backbone
    assert (backbone.type, backbone.depth) == ('ResNetV1c', 50)
    assert (backbone.strides, backbone.dilations) == ((1, 2, 1, 1), (1, 1, 2, 4))
    assert backbone.norm_cfg.type == 'SyncBN'
    assert cfg.model.pretrained == 'open-mmlab://resnet50_v1c'
    head = cfg.model.decode_head
    assert (head.type, head.channels, head.concat_input) == ('GloReHead', 512, False)
    crop = next(t for t in cfg.train_pipeline if t.type == 'RandomCrop')
    assert crop.crop_size == cfg.model.data_preprocessor.size == (512, 1024)
    assert cfg.train_cfg.max_iters == cfg.param_scheduler[0].end == 80000


@pytest.mark.parametrize(
    ('name', 'baseline', 'keys'),
    [
        ('glore_cityscapes', 'fcn_cityscapes', {'model.decode_head.type'}),
        ('nl_cityscapes', 'fcn_cityscapes', {'model.decode_head.type'}),
        ('glore_camvid', 'fcn_camvid', {'model.decode_head.type'}),
        ('glore_lite0_camvid', 'fcn_lite0_camvid', {'model.decode_head.type'}),
        ('glore_lite0_custom', 'fcn_lite0_custom', {'model.decode_head.type'}),
        ('glore_mini', 'fcn_mini', {'model.decode_head.type'}),
        *(
            (f'glore_{name}', f'fcn_{name}', {'model.decode_head.type'})
            for name in (
                'r101_ade20k',
                'r101_pascal-context',
                'r101_pascal-context-60',
                'r50_coco-stuff164k',
                'r50_loveda',
            )
        ),
        (
            'glore_r101_cityscapes',
            'glore_cityscapes',
            {'model.backbone.depth', 'model.pretrained'},
        ),
        (
            'glore_multigrid_cityscapes',
            'glore_cityscapes',
            {'model.backbone.multi_grid'},
        ),
    ],
)
def test_differs_from_its_baseline_only_in(name, baseline, keys):
    a, b = read(name)._cfg_dict.to_dict(), read(baseline)._cfg_dict.to_dict()
    assert differences(a, b) == keys


@pytest.mark.parametrize(
    'name', ['glore_multigrid_cityscapes', 'glore_cityscapes_r50_released']
)
def test_multi_grid_has_the_dilations_of_the_last_stage(name):
    blocks = build(read(name)).backbone.layer4
    assert [block.conv2.dilation for block in blocks] == [(4, 4), (8, 8), (16, 16)]


def test_units_in_the_backbone_are_where_the_paper_has_them():
    model = build(read('glore_backbone_cityscapes'))
    units = [
        n for n, _ in model.backbone.named_modules() if n.split('.')[-1][:5] == 'glore'
    ]
    assert ' '.join(units) == (
        'layer2.0.glore layer2.2.glore layer3.0.glore layer3.2.glore layer3.4.glore'
    )


@pytest.mark.parametrize('path', VIDEO, ids=lambda path: path.stem)
def test_video_builds(path):
    """All parts: the network, its input, its training."""
    cfg = Config.fromfile(path)
    cfg.model.cls_head.num_classes = cfg.model.cls_head.num_classes or 2  # own data
    model = build(cfg)
    units = find_units(model).values()
    mini = path.stem.endswith('mini')
    glore = path.stem.startswith('glore')
    early = 'stem' in path.stem or 'res2' in path.stem
    transformer = 'swin' in path.stem or 'uniformer' in path.stem
    assert bool(units) == glore
    assert mini or len(units) in (0, 1 if early else 3 if transformer else 5)
    assert {unit.dim for unit in units} <= {2 if 'tsm' in path.stem else 3}
    for loader in (cfg.train_dataloader, cfg.val_dataloader, cfg.test_dataloader):
        if 'kinetics400' not in path.stem:
            custom = path.stem.endswith('custom')
            assert loader.dataset.classes == (None if custom else 'label_map.txt')
            numbers = dict(mini=4, custom=2, ucf101=101, hmdb51=51, kinetics600=600,
                           kinetics700=700, sthv2=174, diving48=48)  # fmt: skip
            (number,) = (numbers[key] for key in numbers if key in path.stem)
            loader.dataset.classes = [str(index) for index in range(number)]
        dataset = DATASETS.build(dict(loader.dataset, lazy_init=True))
        assert len(dataset.metainfo['classes']) == model.cls_head.num_classes
    sampled = {
        (t.clip_len, t.get('frame_interval'))
        for t in cfg.train_pipeline + cfg.val_pipeline
        if 'clip_len' in t
    }
    frames = {'slowfast': (32, 2), '32x2': (32, 2), 'mini': (8, 4), '16x4': (16, 4),
              'u16': (16, None), '1x1x8': (1, 1)}  # fmt: skip
    found = [value for key, value in frames.items() if key in path.stem]
    assert sampled == {*(found or [(8, 8)])}
    wrapper = build_optim_wrapper(model, cfg.optim_wrapper)
    for schedule in cfg.param_scheduler:
        PARAM_SCHEDULERS.build(
            dict(schedule, optimizer=wrapper, epoch_length=10)
            if schedule.get('convert_to_iter_based')
            else dict(schedule, optimizer=wrapper)
        )
    for hook in cfg.custom_hooks:
        HOOKS.build({k: v for k, v in hook.items() if k != 'priority'})


@pytest.mark.parametrize(
    'name',
    ['glore_r50_8x8', 'nl_r50_8x8', 'glore_slowonly_r50_8x8', 'glore_slowfast_r50_8x8'],
)
def test_a_video_network_starts_as_its_baseline_and_learns(name):
    """After the Runner's initialisation; one step changes the layers after the unit."""
    cfg = read(f'{name}_kinetics400', 'video')
    import_modules_from_strings(**cfg.custom_imports)
    if 'slowonly' in name:
        cfg.model.backbone.backbone.pretrained = None  # no downloads
    model = build(cfg)
    model.init_weights()
    model.train()
    units = [
        m for n, m in model.named_modules() if n.rpartition('.')[2].startswith('glore')
    ]
    assert len(units) == 5
    for unit in units:
        x = torch.randn(2, unit.in_channels, 2, 16, 16)
        assert torch.equal(unit(x), x)
    closing = [
        parameter
        for name, parameter in model.named_parameters()
        if name.endswith(('blocker.weight', 'conv_out.bn.weight'))
    ]
    assert len(closing) == 5 and not any(parameter.any() for parameter in closing)
    frames = 32 if 'fast' in name else 8
    shape = (1, 3, frames, 64, 64)
    data = dict(
        inputs=[torch.randint(256, shape, dtype=torch.uint8) for _ in range(2)],
        data_samples=[ActionDataSample().set_gt_label(label) for label in (3, 399)],
    )
    loss = model.train_step(data, build_optim_wrapper(model, cfg.optim_wrapper))['loss']
    assert loss.isfinite()
    assert all(parameter.any() for parameter in closing)


def test_the_main_video_config_equals_the_release():
    cfg = read('glore_r50_8x8_kinetics400', 'video')
    model = build(cfg)
    names = [n for n, m in model.named_modules() if isinstance(m, glore_mm.GloRe3d)]
    assert ' '.join(names) == (
        'backbone.layer2.0.glore backbone.layer2.2.glore '
        'backbone.layer3.0.glore backbone.layer3.2.glore backbone.layer3.4.glore'
    )
    names = [
        n
        for n, m in build(read('glore_r101_8x8_kinetics400', 'video')).named_modules()
        if isinstance(m, glore_mm.GloRe3d) and 'layer3' in n
    ]
    assert ' '.join(names) == (
        'backbone.layer3.5.glore backbone.layer3.11.glore backbone.layer3.17.glore'
    )
    preprocessor = model.data_preprocessor
    assert preprocessor.mean.flatten().tolist() == [124, 117, 104]
    assert preprocessor.std.flatten().tolist() == pytest.approx([59.88] * 3)
    groups = build_optim_wrapper(model, cfg.optim_wrapper).optimizer.param_groups
    assert len(groups) == len(list(model.parameters()))
    for group, (name, _) in zip(groups, model.named_parameters(), strict=True):
        assert group['lr'] == 0.05 * (0.5 if 'conv_m2' in name else 1), name
        decay = 0 if name.endswith('.bias') else 1e-4
        assert (group['weight_decay'], group['nesterov']) == (decay, True), name
    assert (
        cfg.train_dataloader.batch_size * 8 == cfg.auto_scale_lr.base_batch_size == 64
    )


@pytest.mark.parametrize(
    ('name', 'baseline', 'keys'),
    [
        ('glore_r50_8x8', 'plain_r50_8x8', {'model.backbone'}),
        ('glore_r101_8x8', 'glore_r50_8x8', {'model.backbone.backbone.depth'}),
        ('nl_r50_8x8', 'glore_r50_8x8', {'model.backbone.unit'}),
        ('glore_slowonly_r50_8x8', 'slowonly_r50_8x8', {'model.backbone'}),
        ('glore_slowfast_r50_8x8', 'slowfast_r50_8x8', {'model.backbone'}),
        (
            'glore_r50_8x8_cosine',
            'glore_r50_8x8',
            {'optim_wrapper', 'param_scheduler', 'train_cfg'},
        ),
        (
            'glore_r50_8x8_precisebn',
            'glore_r50_8x8',
            {'custom_hooks', 'custom_imports.imports'},
        ),
    ],
)
def test_a_video_config_differs_only_in(name, baseline, keys):
    a, b = (
        read(f'{n}_kinetics400', 'video')._cfg_dict.to_dict() for n in (name, baseline)
    )
    for found in differences(a, b):
        assert any(found == key or found.startswith(f'{key}.') for key in keys), found


# Known parameters of the release's R50s, in millions.
PUBLISHED = {
    'glore_r50_0-1_imagenet': 27.20,
    'glore_r50_imagenet': 30.48,
    'glore_r50_0-5_imagenet': 33.76,
    'glore_r50_1-1_imagenet': 27.61,
    'glore_r50_2-3_imagenet': 31.30,
}
# The baseline of each config with units.
PLAIN = {
    **{name: 'plain_r50_imagenet' for name in PUBLISHED},
    'glore_r50_stem_imagenet': 'plain_r50_imagenet',
    'glore_r50_res2_imagenet': 'plain_r50_imagenet',
    'glore_se_r50_imagenet': 'se_r50_imagenet',
    'glore_r101_2-3_imagenet': 'plain_r101_imagenet',
    'glore_r200_imagenet': 'plain_r200_imagenet',
    'glore_r200_2-3_imagenet': 'plain_r200_imagenet',
    'glore_x101_32x4d_2-3_imagenet': 'plain_x101_32x4d_imagenet',
    'glore_dpn98_2-3_imagenet': 'plain_dpn98_imagenet',
    'glore_dpn131_2-3_imagenet': 'plain_dpn131_imagenet',
    'glore_postact_r50_8xb32_imagenet': 'postact_r50_8xb32_imagenet',
    'glore_postact_r50_rsb-a3_imagenet': 'postact_r50_rsb-a3_imagenet',
    'glore_r18_custom': 'plain_r18_custom',
    'glore_lite0_custom': 'plain_lite0_custom',
    'glore_r18_table': 'plain_r18_table',
    'glore_r18_multilabel': 'plain_r18_multilabel',
    'glore_mini': 'plain_mini',
    'glore_convnext-t_imagenet': 'plain_convnext-t_imagenet',
    'glore_r18_cifar100': 'plain_r18_cifar100',
    'glore_r50_cub200': 'plain_r50_cub200',
    'glore_r50_inaturalist': 'plain_r50_inaturalist',
}


#: Ends of the names of configs whose files of data define the classes.
OWN_DATA = 'custom', 'table', 'multilabel', 'inaturalist'
#: Numbers of classes by the end of a config's name; others have those of ImageNet.
CLASSES = dict(mini=10, cifar100=100, cub200=200) | dict.fromkeys(OWN_DATA, 2)


def unit_cost(unit: glore_mm.GloRe2d, length: int) -> tuple[int, int]:
    """Parameters, and MACs in the direct order, of a unit on so many positions."""
    c, s, k = unit.in_channels, unit.num_states, unit.num_nodes
    weights = c * s + c * k + k * k + s * s + s * c
    layers_on_states = 3 if isinstance(unit, DualPathGloRe2d) else 2
    norms = 2 * (2 * c + k + layers_on_states * s) if unit.pre_act else 2 * c
    biases = 0 if unit.pre_act else s + 2 * k
    products = 2 * s * k * length  # V, and Z B
    macs = (c * s + c * k + s * c) * length + k * k * s + s * s * k + products
    return weights + norms + biases, macs


def built(name: str):
    cfg = read(name, 'cls')
    if name.endswith(OWN_DATA):  # the files give the classes
        cfg.model.head.num_classes = 2
        for loader in (cfg.train_dataloader, cfg.val_dataloader, cfg.test_dataloader):
            loader.dataset.classes = ['a', 'b']
    return cfg, build(cfg)


@pytest.mark.parametrize('path', CLS, ids=lambda path: path.stem)
def test_classification_builds(path):
    """All parts: the network, its input, its training."""
    cfg, model = built(path.stem)
    units = [m for m in model.modules() if isinstance(m, glore_mm.GloRe2d)]
    assert bool(units) == path.stem.startswith('glore')
    classes = CLASSES.get(path.stem.rpartition('_')[2], 1000)
    assert model.head.num_classes == classes
    for loader in (cfg.train_dataloader, cfg.val_dataloader, cfg.test_dataloader):
        dataset = DATASETS.build(dict(loader.dataset, lazy_init=True))
        assert dataset.pipeline.transforms[0].__class__.__name__ == 'LoadImage'
        if not path.stem.endswith('mini'):
            assert len(dataset.metainfo['classes']) == classes
        assert dataset.test_mode == (loader is not cfg.train_dataloader)
    assert any(hook.type == 'SkippedSamplesHook' for hook in cfg.custom_hooks)
    wrapper = build_optim_wrapper(model, cfg.optim_wrapper)
    schedules = cfg.param_scheduler
    for schedule in schedules if isinstance(schedules, list) else [schedules]:
        length = dict(epoch_length=10) if 'convert_to_iter_based' in schedule else {}
        PARAM_SCHEDULERS.build(dict(schedule, optimizer=wrapper, **length))


@pytest.mark.slow
@pytest.mark.parametrize('name', PLAIN)
def test_cost_is_that_of_the_plain_network_and_of_the_units(name):
    """With all units in the direct order of products; a cheaper order is possible."""
    (cfg, model), (_, plain) = built(name), built(PLAIN[name])
    inputs = get_task(cfg).example_inputs(cfg)
    positions = {}  # positions of each unit

    def note(unit, args):
        positions[unit] = args[0].shape[2:].numel()

    units = [m for m in model.modules() if isinstance(m, glore_mm.GloRe2d)]
    for unit in units:
        unit.register_forward_pre_hook(note)
    cost, base = count_flops(model, **inputs), count_flops(plain, **inputs)
    parameters, macs = zip(*(unit_cost(u, positions[u]) for u in units), strict=True)
    assert cost.parameters == base.parameters + sum(parameters)
    assert cost.unit_parameters == sum(parameters)
    assert cost.macs <= base.macs + sum(macs)
    assert cost.macs - cost.unit_macs == base.macs
    if name in PUBLISHED:
        assert cost.parameters / 1e6 == pytest.approx(PUBLISHED[name], abs=0.04)
    if name in PUBLISHED:  # two digits: 0.32 G and 0.41 G
        assert sum(macs) / 1e9 == pytest.approx(
            sum(0.321 if unit.in_channels == 512 else 0.409 for unit in units),
            abs=0.003,
        )


def test_units_are_in_the_places_of_the_release():
    places = {
        'glore_r50_2-3_imagenet': '2.0 2.2 3.0 3.2 3.4',
        'glore_r50_0-1_imagenet': '3.2',
        'glore_r50_0-5_imagenet': '3.0 3.1 3.2 3.3 3.4',
        'glore_r101_2-3_imagenet': '2.0 2.2 3.5 3.11 3.17',
        'glore_r200_2-3_imagenet': '2.7 2.15 3.8 3.17 3.26',
        'glore_r18_512_imagenet': '3.0',
        'glore_r50_stem_imagenet': '1.0_input',
        'glore_r50_res2_imagenet': '1.1',
    }
    for name, expected in places.items():
        cfg = read(name, 'cls')
        init_default_scope(cfg.default_scope)
        with torch.device('meta'):
            net = MODELS.build(cfg.model.backbone)
        units = [n for n, m in net.named_modules() if isinstance(m, glore_mm.GloRe2d)]
        found = ' '.join(units).replace('layer', '').replace('.glore', '')
        assert found == expected, name


def test_the_network_of_the_paper_s_figure():
    cfg, model = built('glore_r18_512_imagenet')
    unit = model.backbone.layer3[0].glore
    assert (unit.num_nodes, unit.pre_act) == (128, True)
    sizes = []
    unit.register_forward_pre_hook(lambda _, args: sizes.append(args[0].shape[2:]))
    inputs = get_task(cfg).example_inputs(cfg)
    model(**inputs)
    assert inputs['inputs'].shape[2:] == (512, 512)
    assert sizes == [(32, 32)]
    assert cfg.train_pipeline[1].scale == 512


def test_the_deeper_network_does_not_cost_less():
    cfg, deeper = built('deeper_r50_imagenet')
    inputs = get_task(cfg).example_inputs(cfg)
    deep = count_flops(deeper, **inputs)
    glore = count_flops(built('glore_r50_imagenet')[1], **inputs)
    assert 1 <= deep.macs / (glore.macs - glore.unit_macs + 3 * 408_944_640) < 1.03
    assert 1 <= deep.parameters / glore.parameters < 1.06


def test_a_classification_network_starts_as_its_baseline_and_learns():
    """After the Runner's initialisation; also with Non-local blocks."""
    from mmpretrain.structures import DataSample

    for name in ('glore_r50_imagenet', 'nl_r50_imagenet', 'glore_dpn98_2-3_imagenet'):
        cfg, model = built(name)
        model.init_weights()
        model.train()
        units = [
            m for n, m in model.named_modules() if n.rsplit('.')[-1].startswith('glore')
        ]
        assert len(units) == (5 if 'dpn' in name else 3)
        for unit in units:
            x = torch.randn(2, unit.in_channels, 20, 20)
            assert torch.equal(unit(x), x)
        inputs = torch.randint(256, (2, 3, 64, 64), dtype=torch.uint8)
        samples = [DataSample().set_gt_label(label) for label in (3, 999)]
        before = {n: p.detach().clone() for n, p in model.named_parameters()}
        wrapper = build_optim_wrapper(model, cfg.optim_wrapper)
        data = dict(inputs=inputs, data_samples=samples)
        assert model.train_step(data, wrapper)['loss'].isfinite()
        closing = [
            n
            for n, p in before.items()
            if n.endswith(
                (
                    'conv_extend.conv.weight',
                    'conv_extend.residual.conv.weight',
                    'conv_out.bn.weight',
                )
            )
        ]
        assert len(closing) == len(units)
        assert all(
            model.get_parameter(n).any() and not before[n].any() for n in closing
        )


@pytest.mark.parametrize(
    ('name', 'baseline', 'keys'),
    [
        ('glore_r50_imagenet', 'plain_r50_imagenet', {'model.backbone'}),
        (
            'glore_r50_2-3_imagenet',
            'glore_r50_imagenet',
            {'model.backbone.placement.layer2'},
        ),
        ('nl_r50_imagenet', 'glore_r50_imagenet', {'model.backbone.unit'}),
        (
            'deeper_r50_imagenet',
            'plain_r50_imagenet',
            {'model.backbone.stage_blocks'},
        ),
        (
            'glore_se_r50_imagenet',
            'glore_r50_imagenet',
            {'model.backbone.backbone.se_ratio'},
        ),
        (
            'glore_postact_r50_8xb32_imagenet',
            'postact_r50_8xb32_imagenet',
            {'model.backbone'},
        ),
        ('glore_r18_custom', 'plain_r18_custom', {'model.backbone'}),
        ('glore_lite0_custom', 'plain_lite0_custom', {'model.backbone'}),
        ('glore_r18_table', 'plain_r18_table', {'model.backbone'}),
        ('glore_r18_multilabel', 'plain_r18_multilabel', {'model.backbone'}),
        ('glore_mini', 'plain_mini', {'model.backbone'}),
        *(
            (f'glore_{name}', f'plain_{name}', {'model.backbone'})
            for name in (
                'convnext-t_imagenet',
                'r18_cifar100',
                'r50_cub200',
                'r50_inaturalist',
            )
        ),
    ],
)
def test_a_classification_config_differs_only_in(name, baseline, keys):
    a, b = (read(n, 'cls')._cfg_dict.to_dict() for n in (name, baseline))
    for found in differences(a, b):
        assert any(found == key or found.startswith(f'{key}.') for key in keys), found


@pytest.mark.parametrize(
    ('name', 'path', 'keys'),
    [
        ('postact_r50_8xb32_imagenet', 'resnet/resnet50_8xb32_in1k', set()),
        (
            'postact_r50_rsb-a3_imagenet',
            'resnet/resnet50_8xb256-rsb-a3-100e_in1k',
            set(),
        ),
        (
            'plain_swin-t_imagenet',
            'swin_transformer/swin-tiny_16xb64_in1k',
            set(),
        ),
        ('plain_deit-s_imagenet', 'deit/deit-small_4xb256_in1k', set()),
        ('plain_convnext-t_imagenet', 'convnext/convnext-tiny_32xb128_in1k', set()),
        ('plain_r50_cub200', 'resnet/resnet50_8xb8_cub', set()),
        (
            'plain_r18_cifar100',
            'resnet/resnet50_8xb16_cifar100',
            {
                'model.backbone.depth',
                'model.head.in_channels',
                'data_preprocessor.to_rgb',  # of images that are read as BGR
            },
        ),
    ],
)
def test_recipes_of_mmpretrain_are_unchanged(name, path, keys):
    """Except for the data sets and the transforms that read and fit images."""
    a = without_scopes(read(name, 'cls')._cfg_dict.to_dict())
    b = without_scopes(upstream_config(f'mmpretrain::{path}.py')._cfg_dict.to_dict())
    del a['custom_imports']
    b.setdefault('custom_hooks', []).append(dict(type='SkippedSamplesHook'))
    reading = ['LoadImage', 'LoadImageFromFile']
    if name.endswith('cifar100'):
        reading.append('Resize')
    for cfg in (a, b):
        pipelines = [cfg[f'{split}_pipeline'] for split in ('train', 'test')]
        for loader in ('train_dataloader', 'val_dataloader', 'test_dataloader'):
            dataset = cfg[loader]['dataset']
            del dataset['type']
            dataset.pop('test_mode', None)
            dataset['data_root'] = dataset['data_root'].rstrip('/')
            pipelines.append(dataset['pipeline'])
        for pipeline in pipelines:
            pipeline[:] = [step for step in pipeline if step['type'] not in reading]
    assert differences(a, b) == keys


SWIN = 'mmseg::swin/swin-tiny-patch4-window7-in1k-pre_upernet_8xb2-160k_ade20k-512x512'
CONVNEXT = 'mmseg::convnext/convnext-tiny_upernet_8xb2-amp-160k_ade20k-512x512'
VIDEO_SWIN = (
    'mmaction::recognition/swin/'
    'swin-tiny-p244-w877_in1k-pre_8xb8-amp-32x2x1-30e_kinetics400-rgb'
)
AMP = 'optim_wrapper.type'  # enabled with --amp
SCALING = {AMP, 'optim_wrapper.loss_scale'}
OTHER_DATA = {'model.data_preprocessor.size', 'model.decode_head.num_classes',
              'model.auxiliary_head.num_classes', 'param_scheduler',
              'train_cfg.max_iters', 'train_cfg.val_interval'}  # fmt: skip
WHOLE = {f'model.test_cfg.{key}' for key in ('mode', 'crop_size', 'stride')}
# mmseg's FCNs also classify the input of the head; they set the default of num_convs
CONCAT = {f'model.decode_head.{key}' for key in ('concat_input', 'num_convs')}


@pytest.mark.parametrize(
    ('task', 'name', 'path', 'keys'),
    [
        ('seg', 'swin-t_upernet_ade20k', SWIN, set()),
        ('seg', 'convnext-t_upernet_ade20k', CONVNEXT, SCALING),
        (
            'seg',
            'segformer_mit-b0_ade20k',
            'mmseg::segformer/segformer_mit-b0_8xb2-160k_ade20k-512x512',
            set(),
        ),
        (
            'seg',
            'deeplabv3plus_r50_cityscapes',
            'mmseg::deeplabv3plus/deeplabv3plus_r50-d8_4xb2-80k_cityscapes-512x1024',
            set(),
        ),
        (
            'seg',
            'deeplabv3plus_r50_ade20k',
            'mmseg::deeplabv3plus/deeplabv3plus_r50-d8_4xb4-80k_ade20k-512x512',
            set(),
        ),
        (
            'seg',
            'unet_chase-db1',
            'mmseg::unet/unet-s5-d16_fcn_4xb4-40k_chase-db1-128x128',
            set(),
        ),
        (
            'seg',
            'fcn_r101_ade20k',
            'mmseg::fcn/fcn_r101-d8_4xb4-80k_ade20k-512x512',
            CONCAT,
        ),
        (
            'seg',
            'fcn_r101_pascal-context',
            'mmseg::fcn/fcn_r101-d8_4xb4-80k_pascal-context-59-480x480',
            CONCAT,
        ),
        (
            'seg',
            'fcn_r101_pascal-context-60',
            # mmseg's file for ResNet-101 has the schedule of 40k
            'mmseg::fcn/fcn_r50-d8_4xb4-80k_pascal-context-480x480',
            {*CONCAT, 'model.backbone.depth', 'model.pretrained'},
        ),
        ('seg', 'swin-t_upernet_cityscapes', SWIN, OTHER_DATA),
        (
            'seg',
            'convnext-t_upernet_cityscapes',
            CONVNEXT,
            SCALING | OTHER_DATA | WHOLE,
        ),
        ('video', 'swin-t_32x2_kinetics400', VIDEO_SWIN, {AMP}),
    ],
)
def test_networks_and_recipes_of_the_libraries_are_unchanged(task, name, path, keys):
    a, b = read(name, task), upstream_config(f'{path}.py')
    parts = ('model', 'optim_wrapper', 'param_scheduler', 'train_cfg')
    a, b = ({key: without_scopes(cfg[key].copy()) for key in parts} for cfg in (a, b))
    assert differences(a, b) == keys


def test_video_swin_takes_the_clips_of_mmaction2():
    cfg = loaded('video', 'swin-t_32x2_kinetics400')
    TASK.set_views(cfg, 4, 3)
    for loader in ('train_dataloader', 'val_dataloader', 'test_dataloader'):
        a, b = (
            {step['type']: dict(step) for step in of[loader].dataset.pipeline}
            for of in (cfg, upstream_config(f'{VIDEO_SWIN}.py'))
        )
        sampled = dict(b.pop('SampleFrames'), type='StrictSampleFrames', num_clips=1)
        a['StrictSampleFrames'].setdefault('num_clips', 1)
        if loader == 'test_dataloader':
            sampled['num_clips'] = 4
        assert a.pop('StrictSampleFrames') == sampled
        reading = {'VideoInit', 'VideoDecode', 'DecordInit', 'DecordDecode'}
        a, b = ({k: v for k, v in of.items() if k not in reading} for of in (a, b))
        assert a == b and [*a] == [*b]


# ------------------------------------------------------- transformers and ConvNeXt

#: Networks with units: task, data set, network, blocks with units.
PAIRS = [
    *(
        ('seg', data, network, blocks)
        for data in ('cityscapes', 'ade20k')
        for network, blocks in (
            ('swin-t_upernet', 'stages.2.blocks: 0 2 4'),
            ('convnext-t_upernet', 'stages.2: 1 4 6'),
        )
    ),
    ('seg', 'ade20k', 'segformer_mit-b0', 'layers.2.1: 0 1'),
    ('cls', 'imagenet', 'swin-t', 'stages.2.blocks: 0 2 4'),
    ('cls', 'imagenet', 'deit-s', 'layers: 2 5 8'),
    ('cls', 'imagenet', 'convnext-t', 'stages.2: 1 4 6'),
    ('video', 'kinetics400', 'swin-t_32x2', 'layers.2.blocks: 0 2 4'),
    ('video', 'kinetics400', 'uniformer-s_16x4', 'blocks3: 1 3 5'),
]
#: Keys of weights that are downloaded.
LOADING = dict(
    seg=dict(init_cfg=None), cls={}, video=dict(pretrained=None, pretrained2d=False)
)
#: Input shapes. mmpretrain's Swin is built for a fixed image size.
SMALL = dict(seg=(3, 64, 64), cls=(3, 224, 224), video=(1, 3, 4, 64, 64))
few_places = pytest.mark.filterwarnings('ignore:GloRe.d has more nodes')


def loaded(task: str, name: str, **options: object) -> Config:
    """Load as the tools do, with other settings of the backbone."""
    path = str(ROOT / 'configs' / task / f'{name}.py')
    where = 'model.backbone.' + 'backbone.' * name.startswith('glore')
    return load_config(path, {where + key: value for key, value in options.items()})


@pytest.fixture(
    scope='module',
    params=[
        pytest.param(
            each,
            id='-'.join((each[0], *each[2:0:-1])),
            # the UPerNets are those for Cityscapes with other heads
            marks=[pytest.mark.slow]
            if (each[1], 'upernet' in each[2]) == ('ade20k', True)
            else [],
        )
        for each in PAIRS
    ],
)
def pair(request):
    """A network at the start of training, and the same without units."""
    task, data, network, blocks = request.param
    first = 'plain_' if task == 'cls' else ''
    cfg, plain_cfg = (
        loaded(task, f'{prefix}{network}_{data}', **LOADING[task])
        for prefix in ('glore_', first)
    )
    model, plain = build_model(cfg), build_model(plain_cfg)
    model.init_weights()
    for name, weight in model.named_parameters():
        if not weight.any() and name.startswith('head.'):  # learns first
            torch.nn.init.normal_(weight, std=0.02)
    state = model.state_dict()
    plain.load_state_dict({k: v for k, v in state.items() if '.glore.' not in k})
    return SimpleNamespace(
        cfg=cfg, plain_cfg=plain_cfg, model=model, plain=plain, task=task, blocks=blocks
    )


def test_units_follow_the_blocks_of_the_third_stage(pair):
    stage, _, blocks = pair.blocks.partition(': ')
    expected = [f'backbone.{stage}.{block}.glore' for block in blocks.split()]
    units = find_units(pair.model)
    assert list(units) == expected
    assert {type(unit).__name__ for unit in units.values()} == {
        'GloRe3d' if pair.task == 'video' else 'GloRe2d'
    }
    assert {unit.normalize for unit in units.values()} == {pair.task == 'seg'}
    name = Path(pair.cfg.filename).name
    channels = 160 if 'segformer' in name else 320 if 'uniformer' in name else 384
    assert {unit.in_channels for unit in units.values()} == {channels}
    blockers = {type(unit.blocker).__name__ for unit in units.values()}
    assert blockers == {'SyncBatchNorm'} or pair.task != 'seg'
    a, b = (cfg._cfg_dict.to_dict() for cfg in (pair.cfg, pair.plain_cfg))
    for found in differences(a, b) - {'work_dir'}:
        assert found.startswith(('model.backbone.', 'optim_wrapper.paramwise_cfg.'))
    assert a['model']['backbone']['backbone'] == b['model']['backbone']


@few_places
def test_a_transformer_starts_as_without_units(pair):
    """With the output of its head."""
    inputs = torch.randn(1, *SMALL[pair.task])
    inputs = dict(get_task(pair.cfg).example_inputs(pair.cfg), inputs=inputs)
    pair.model.eval(), pair.plain.eval()
    with torch.no_grad():
        out, expected = pair.model(**inputs), pair.plain(**inputs)
    if pair.task == 'seg':
        assert out.shape == (1, pair.model.decode_head.num_classes, 16, 16)
    elif pair.task == 'cls':
        assert out.shape == (1, 1000)
    else:
        assert out.shape == (1, 400)
    assert expected.std() > 0
    assert torch.equal(out, expected)


def test_units_have_the_optimizer_rules_of_their_blocks(pair):
    """Those of the recipe: learning rate by depth, no weight decay of norms."""
    init_default_scope(pair.cfg.default_scope)
    optimizer = build_optim_wrapper(pair.model, pair.cfg.optim_wrapper).optimizer
    rules = {
        parameter: (group['lr'], group['weight_decay'])
        for group in optimizer.param_groups
        for parameter in group['params']
    }
    assert len(rules) == len(list(pair.model.parameters()))

    def rules_of(module):
        found = defaultdict(set)
        for name, layer in module.named_modules():
            for key, parameter in layer.named_parameters(recurse=False):
                norm = key if 'Norm' not in type(layer).__name__ else 'norm'
                found['glore' in name, norm].add(rules[parameter])
        return found

    for path in find_units(pair.model):
        found = rules_of(pair.model.get_submodule(path.rpartition('.')[0]))
        for kind in ('weight', 'bias', 'norm'):
            assert found[True, kind] == found[False, kind] != set(), (path, kind)
            assert len(found[True, kind]) == 1
        assert {decay for _, decay in found[True, 'norm']} == {0}


@few_places
def test_units_of_a_transformer_learn(pair):
    from mmpretrain.structures import DataSample
    from mmseg.structures import SegDataSample

    init_default_scope(pair.cfg.default_scope)
    shape, model = SMALL[pair.task], pair.model.train()
    inputs = [torch.randint(256, shape, dtype=torch.uint8) for _ in range(2)]
    if pair.task == 'seg':
        model.data_preprocessor.size = size = shape[1:]
        samples = [
            SegDataSample(
                gt_sem_seg=PixelData(data=torch.randint(19, (1, *size))),
                metainfo=dict(img_shape=size),
            )
            for _ in inputs
        ]
    else:
        kind = ActionDataSample if pair.task == 'video' else DataSample
        samples = [kind().set_gt_label(label) for label in (3, 399)]
    units = find_units(model).values()
    assert not any(unit.closing_weight.any() for unit in units)
    wrapper = build_optim_wrapper(model, pair.cfg.optim_wrapper)
    loss = model.train_step(dict(inputs=inputs, data_samples=samples), wrapper)['loss']
    assert loss.isfinite()
    assert all(unit.closing_weight.any() for unit in units)


def test_the_docs_have_the_cost_of_transformers(pair):
    """Counted from shapes only, as the networks are large."""
    counted = []
    for cfg, net in ((pair.plain_cfg, pair.plain), (pair.cfg, pair.model)):
        net = copy.deepcopy(net)
        counted.append(network_cost(cfg, net))
        cost, cells = counted[-1], [f'{counted[-1].parameters:,}']
        cells += [f'{cost.macs / 1e9:.3f}']
        for unit in find_units(net).values():
            unit.order = 'direct'
        direct = network_cost(cfg, net)
        of_units = f'{cost.unit_macs / 1e9:.3f}', f'{direct.macs / 1e9:.3f}'
        cells += of_units if cost.unit_macs else ['', '']
        name = Path(cfg.filename).stem
        for data in ('_imagenet', '_kinetics400'):
            name = name.removesuffix(data)
        lines = (ROOT / 'docs' / 'results.md').read_text().splitlines()
        (row,) = [line for line in lines if line.startswith(f'| `{name}` |')]
        assert [cell.strip() for cell in row.split('|')][3:7] == cells
    plain, cost = counted
    assert cost.parameters == plain.parameters + cost.unit_parameters
    assert cost.macs == plain.macs + cost.unit_macs


@pytest.mark.parametrize('network', ['swin-t_upernet', 'convnext-t_upernet'])
def test_a_backbone_s_checkpoint_starts_the_network_with_units(network, tmp_path):
    """With the checkpoint from the config; the units stay the identity."""
    start = build_model(loaded('seg', f'{network}_ade20k', init_cfg=None))
    start.init_weights()
    for parameter in start.parameters():
        torch.nn.init.normal_(parameter, std=0.02)
    file = tmp_path / 'backbone.pth'
    torch.save(dict(state_dict=start.state_dict()), file)
    key = {'init_cfg.checkpoint': str(file)}
    model = build_model(loaded('seg', f'glore_{network}_ade20k', **key))
    model.init_weights()
    state = model.backbone.state_dict()
    for name, value in start.backbone.state_dict().items():
        assert torch.equal(state[name], value), name
    for unit in find_units(model).values():
        assert not unit.closing_weight.any()


@pytest.mark.slow
@pytest.mark.parametrize(
    'path', sorted((ROOT / 'configs/ablation').glob('*.py')), ids=lambda path: path.stem
)
def test_ablation_builds(path):
    """Every variant; "deeper" does not cost less than the variants that it replaces."""
    options = {'model.pretrained': None} if path.stem.startswith('city') else {}
    if path.stem.startswith('custom'):  # the files give the number of classes
        options = {'model.head.num_classes': 2}
    ablation = read_ablation(str(path), options)
    assert next(iter(ablation.variants)) == 'plain'
    costs = {name: ablation.cost(name) for name in ablation.variants}
    different = {(cost.parameters, cost.macs) for cost in costs.values()}
    assert len(different) >= min(3, len(costs))
    for name, cost in costs.items():
        assert bool(cost.unit_parameters) == name.startswith('glore'), name
    like = dict(imagenet_r50='glore_0-3', kinetics400_r50='glore_2-3')
    like['cityscapes_r50'] = 'glore_head'
    if path.stem in like:
        assert costs['deeper'].macs >= costs[like[path.stem]].macs


def test_metafile_lists_every_config():
    from mmengine.fileio import load

    index = load(ROOT / 'model-index.yml')
    listed = [
        model['Config']
        for path in index['Import']
        for model in load(ROOT / path)['Models']
    ]
    own = [path.relative_to(ROOT).as_posix() for path in SEG + CLS + VIDEO + DET]
    assert sorted(listed) == sorted(own)
