"""Every config builds and differs from its baseline in what it says."""

from pathlib import Path

import pytest
import torch
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
from mmengine.utils import import_modules_from_strings

import glore_mm

ROOT = Path(__file__).parent.parent
SEG, VIDEO = (
    sorted((ROOT / 'configs' / task).glob('*.py')) for task in ('seg', 'video')
)


def read(name: str, task: str = 'seg') -> Config:
    return Config.fromfile(ROOT / 'configs' / task / f'{name}.py')


def build(cfg: Config):
    init_default_scope(cfg.default_scope)
    if cfg.default_scope == 'mmseg':
        cfg.model.pretrained = None  # nothing is downloaded here
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


@pytest.mark.parametrize('path', SEG, ids=lambda path: path.stem)
def test_builds(path):
    cfg = Config.fromfile(path)
    model = build(cfg)
    units = [m for m in model.modules() if isinstance(m, glore_mm.unit.GloRe)]
    glore = path.stem.startswith('glore')
    assert len(units) == (5 if 'backbone' in path.stem else 1 if glore else 0)
    assert all(unit.normalize for unit in units)
    crop = next(t for t in cfg.train_pipeline if t.type == 'RandomCrop').crop_size
    resize = next(t for t in cfg.train_pipeline if t.type == 'RandomResize').scale
    assert crop == cfg.model.data_preprocessor.size
    assert cfg.test_pipeline[1] == dict(type='Resize', scale=resize, keep_ratio=True)
    classes = 21 if 'voc' in path.stem else 11 if 'camvid' in path.stem else 19
    assert model.decode_head.num_classes == model.auxiliary_head.num_classes == classes


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
        ('glore_mini', 'fcn_mini', {'model.decode_head.type'}),
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
def test_differs_from_its_baseline_in_nothing_else(name, baseline, keys):
    a, b = read(name)._cfg_dict.to_dict(), read(baseline)._cfg_dict.to_dict()
    assert differences(a, b) == keys


def test_units_in_the_backbone_are_where_the_paper_has_them():
    model = build(read('glore_backbone_cityscapes'))
    units = [
        n for n, _ in model.backbone.named_modules() if n.split('.')[-1][:5] == 'glore'
    ]
    assert ' '.join(units) == (
        'layer2.glore0 layer2.glore2 layer3.glore0 layer3.glore2 layer3.glore4'
    )


@pytest.mark.parametrize('path', VIDEO, ids=lambda path: path.stem)
def test_video_builds(path):
    """Every part of it: the network, what it reads, how it is trained."""
    cfg = Config.fromfile(path)
    model = build(cfg)
    units = [n for n, m in model.named_modules() if isinstance(m, glore_mm.GloRe3d)]
    mini = path.stem.endswith('mini')
    glore = path.stem.startswith('glore')
    assert bool(units) == glore and (mini or len(units) in (0, 5))
    for loader in (cfg.train_dataloader, cfg.val_dataloader, cfg.test_dataloader):
        if mini:
            assert loader.dataset.classes == 'label_map.txt'
            loader.dataset.classes = ['a', 'b', 'c', 'd']
        dataset = DATASETS.build(dict(loader.dataset, lazy_init=True))
        assert len(dataset.metainfo['classes']) == model.cls_head.num_classes
    sampled = [
        (t.clip_len, t.frame_interval)
        for t in cfg.train_pipeline + cfg.val_pipeline
        if t.type == 'SampleClips'
    ]
    fast = 'slowfast' in path.stem or '32x2' in path.stem
    assert set(sampled) == {(32, 2) if fast else (8, 4) if mini else (8, 8)}
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
    """After the Runner's own initialisation; one step changes what stands behind it."""
    cfg = read(f'{name}_kinetics400', 'video')
    import_modules_from_strings(**cfg.custom_imports)
    if 'slowonly' in name:
        cfg.model.backbone.backbone.pretrained = None  # nothing is downloaded here
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


def test_the_main_video_config_is_the_release_s():
    cfg = read('glore_r50_8x8_kinetics400', 'video')
    model = build(cfg)
    names = [n for n, m in model.named_modules() if isinstance(m, glore_mm.GloRe3d)]
    assert ' '.join(names) == (
        'backbone.layer2.glore0 backbone.layer2.glore2 '
        'backbone.layer3.glore0 backbone.layer3.glore2 backbone.layer3.glore4'
    )
    names = [
        n
        for n, m in build(read('glore_r101_8x8_kinetics400', 'video')).named_modules()
        if isinstance(m, glore_mm.GloRe3d) and 'layer3' in n
    ]
    assert ' '.join(names) == (
        'backbone.layer3.glore5 backbone.layer3.glore11 backbone.layer3.glore17'
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
def test_a_video_config_differs_in_nothing_else(name, baseline, keys):
    a, b = (
        read(f'{n}_kinetics400', 'video')._cfg_dict.to_dict() for n in (name, baseline)
    )
    for found in differences(a, b):
        assert any(found == key or found.startswith(f'{key}.') for key in keys), found


def test_metafile_lists_every_config():
    from mmengine.fileio import load

    index = load(ROOT / 'model-index.yml')
    listed = [
        model['Config']
        for path in index['Import']
        for model in load(ROOT / path)['Models']
    ]
    own = [path.relative_to(ROOT).as_posix() for path in SEG + VIDEO]
    assert sorted(listed) == sorted(own)
