"""Configs of published video data sets, on small data in their layouts."""

import shutil
from pathlib import Path

import pytest
import torch
from config_parts import upstream_config, without_scopes, without_units
from mmengine.optim import build_optim_wrapper
from mmengine.registry import DATASETS, TRANSFORMS, init_default_scope
from paths import ROOT
from PIL import Image
from video_benchmarks import LAYOUTS, NUM_CLIPS, write_video_benchmark

from glore_mm.apis.export import export
from glore_mm.apis.infer import infer
from glore_mm.apis.test import test as run_test
from glore_mm.apis.train import train
from glore_mm.config.build import build_model
from glore_mm.config.load import load_config
from glore_mm.insertion import find_units
from glore_mm.utils.errors import UserError
from glore_mm.utils.kinetics import write_kinetics_list
from glore_mm.video.task import TASK

#: Configs without and with units, by data set.
CONFIGS = [
    *(
        (data, f'plain_{name}_{data}', f'glore_{name}_{data}')
        for data, name in (
            ('ucf101', 'r50_8x8'),
            ('hmdb51', 'r50_8x8'),
            ('kinetics600', 'r50_8x8'),
            ('kinetics700', 'r50_8x8'),
            ('sthv2', 'r50_u16'),
            ('diving48', 'r50_u16'),
        )
    ),
    ('sthv2', 'tsm_r50_1x1x8_sthv2', 'glore_tsm_r50_1x1x8_sthv2'),
    (
        'kinetics400',
        'uniformer-s_16x4_kinetics400',
        'glore_uniformer-s_16x4_kinetics400',
    ),
    ('kinetics400', 'swin-t_32x2_kinetics400', 'glore_swin-t_32x2_kinetics400'),
]
#: One config for each architecture that tests/apis/test_export.py does not export. They
#: are also exported to ONNX, which takes longer.
ONNX = {
    'glore_tsm_r50_1x1x8_sthv2',
    'glore_uniformer-s_16x4_kinetics400',
    'glore_swin-t_32x2_kinetics400',
}
TSM = 'mmaction::recognition/tsm/tsm_imagenet-pretrained-r50_8xb16-1x1x8-50e_sthv2-rgb'
UNIFORMER = (
    'mmaction::recognition/uniformer/'
    'uniformer-small_imagenet1k-pre_16x4x1_kinetics400-rgb'
)
few_places = pytest.mark.filterwarnings('ignore:GloRe.d has more nodes')
both = pytest.mark.parametrize(
    ('kind', 'plain', 'glore'), CONFIGS, ids=lambda value: value
)


@pytest.fixture(scope='session')
def written(tmp_path_factory):
    """Write each data set once; must not be changed."""
    roots = {}

    def write(kind):
        if kind not in roots:
            roots[kind] = write_video_benchmark(tmp_path_factory.mktemp(kind), kind)
        return roots[kind]

    return write


def read(name, **options):
    return load_config(str(ROOT / 'configs' / 'video' / f'{name}.py'), options)


def plain_of(kind):
    return next(plain for each, plain, _ in CONFIGS if each == kind)


# ------------------------------------------------------------------------ data sets


@pytest.mark.parametrize('kind', LAYOUTS)
def test_lists_of_mmaction2_are_read(kind, written):
    """With all classes; a split that one option chooses has lists of its own."""
    root, layout = written(kind), LAYOUTS[kind]
    for fold in range(1, layout.folds + 1):
        options = dict(split=fold) if layout.folds > 1 else {}
        cfg = read(plain_of(kind), data_root=str(root), **options)
        for split, loader in (('train', 'train_dataloader'), ('val', 'val_dataloader')):
            assert cfg.test_dataloader.dataset == cfg.val_dataloader.dataset
            dataset = DATASETS.build(cfg[loader].dataset)
            assert dataset.test_mode == (split == 'val')
            assert len(dataset.metainfo['classes']) == layout.classes
            assert cfg.model.cls_head.num_classes == layout.classes
            part = split if fold % 2 else dict(train='val', val='train')[split]
            folder = root / layout.folder.format(split=part)
            found = [dataset.get_data_info(i) for i in range(len(dataset))]
            assert [Path(clip['filename']) for clip in found] == [
                folder / layout.name(part, i) for i in range(NUM_CLIPS)
            ]
            assert [clip['label'] for clip in found] == [layout.classes - 1, 0]


def test_a_split_without_a_list_is_named(written):
    cfg = read('glore_r50_8x8_ucf101', data_root=str(written('ucf101')), split=4)
    with pytest.raises(UserError, match=r'no list of clips at .*train_split_4_videos'):
        DATASETS.build(cfg.train_dataloader.dataset)


@pytest.mark.parametrize('name', ['plain_r50_u16_sthv2', 'tsm_r50_1x1x8_sthv2'])
def test_a_mirrored_video_has_the_class_of_the_other_direction(name):
    init_default_scope('mmaction')
    cfg = read(name)
    (flip,) = (step for step in cfg.train_pipeline if step.type == 'Flip')
    flip = TRANSFORMS.build(dict(flip, flip_ratio=1))
    frame = torch.zeros(4, 4, 3).numpy()
    for label, other in ((86, 87), (94, 93), (166, 167), (0, 0)):
        sample = dict(imgs=[frame], img_shape=(4, 4), label=label, modality='RGB')
        assert flip(sample)['label'] == other
    assert not any('flip_label_map' in step for step in cfg.val_pipeline)


def test_lists_of_other_kinetics_need_the_file_of_classes(tmp_path, tool):
    (tmp_path / 'videos').mkdir()
    (tmp_path / 'videos/0wR5jVB-WPk_000417_000427.mp4').touch()
    (tmp_path / 'train.csv').write_text(
        'label,youtube_id,time_start,time_end,split\n'
        'zumba,0wR5jVB-WPk,417,427,train\nacting in play,gone,1,11,train\n'
    )
    (tmp_path / 'label_map.txt').write_text('abseiling\nacting in play\nzumba\n')
    words = 'train.csv', 'videos', 'list.txt', '--classes', 'label_map.txt'
    assert '1 videos; 1 of' in tool('kinetics_list', *words, cwd=tmp_path).stdout
    assert (tmp_path / 'list.txt').read_text() == '0wR5jVB-WPk_000417_000427.mp4 2\n'
    with pytest.raises(UserError, match="'acting in play' .* 400 classes.*--classes"):
        write_kinetics_list(*(str(tmp_path / word) for word in words[:3]))


# ------------------------------------------------------------------------- recipes


def parts(cfg, *keys):
    """Parts of a config without the scopes of its library."""
    return {key: without_scopes(cfg[key]) for key in keys}


def test_tsm_has_the_network_and_the_recipe_of_mmaction2():
    cfg, other = read('tsm_r50_1x1x8_sthv2'), upstream_config(f'{TSM}.py')
    keys = ('model', 'param_scheduler', 'train_cfg', 'auto_scale_lr', 'optim_wrapper')
    a, b = parts(cfg, *keys), parts(other, *keys)
    assert a['optim_wrapper'].pop('type') == 'OptimWrapper'
    assert a == b
    TASK.set_views(cfg, 2, 3)
    for loader in ('train_dataloader', 'val_dataloader', 'test_dataloader'):
        assert cfg[loader].batch_size == other[loader].batch_size
        a, b = (
            {step['type']: dict(step) for step in of[loader].dataset.pipeline}
            for of in (cfg, other)
        )
        a['SampleFrames'] = dict(a.pop('StrictSampleFrames'), type='SampleFrames')
        reading = {'VideoInit', 'VideoDecode', 'DecordInit', 'DecordDecode'}
        a, b = ({k: v for k, v in of.items() if k not in reading} for of in (a, b))
        assert a == b


def test_uniformer_has_the_network_and_the_clips_of_mmaction2():
    cfg, other = (
        read('uniformer-s_16x4_kinetics400'),
        upstream_config(f'{UNIFORMER}.py'),
    )
    a, b = parts(cfg, 'model'), parts(other, 'model')
    assert a['model']['backbone'].pop('pretrained') == 'uniformer_small_in1k'
    assert a == b
    TASK.set_views(cfg, 4, 1)
    a, b = (of.test_dataloader.dataset.pipeline for of in (cfg, other))
    assert a[1].pop('type') == 'StrictSampleFrames'
    assert b[1].pop('type') == 'SampleFrames'
    assert a[1] == b[1] and a[3:] == b[3:]


def test_uniformer_decays_matrices_only():
    """As its authors do, for the units, too."""
    key = 'model.backbone.backbone.pretrained'
    cfg = read('glore_uniformer-s_16x4_kinetics400', **{key: None})
    model = build_model(cfg)
    optimizer = build_optim_wrapper(model, cfg.optim_wrapper).optimizer
    groups = [
        (parameter.ndim, group['weight_decay'])
        for group in optimizer.param_groups
        for parameter in group['params']
    ]
    assert {decay for ndim, decay in groups if ndim == 1} == {0}
    assert {decay for ndim, decay in groups if ndim > 1} == {0.05}


def test_tsm_has_rules_for_its_units():
    """Of mmaction2's constructor: norms do not decay; the classifier is the last."""
    where = 'model.backbone.backbone.'
    options = {f'{where}pretrained': None, f'{where}pretrained2d': False}
    cfg = read('glore_tsm_r50_1x1x8_sthv2', **options)
    model = build_model(cfg)
    optimizer = build_optim_wrapper(model, cfg.optim_wrapper).optimizer
    rules = {
        parameter: (group['lr'], group['weight_decay'])
        for group in optimizer.param_groups
        for parameter in group['params']
    }
    assert len(rules) == len(list(model.parameters()))
    assert rules[model.cls_head.fc_cls.weight] == (0.1, 5e-4)
    for unit in find_units(model).values():
        assert rules[unit.conv_state.weight] == (0.02, 5e-4)
        assert rules[unit.blocker.weight] == (0.02, 0)


# ------------------------------------------------------------------------- networks


@both
def test_a_pair_differs_only_in_the_unit(kind, plain, glore):
    """And in the rule that the norms of units have no weight decay, as other norms."""
    a, b = (read(name)._cfg_dict.to_dict() for name in (plain, glore))
    del a['work_dir'], b['work_dir']
    assert a != b
    rules = b['optim_wrapper'].get('paramwise_cfg', {})
    assert rules.pop('glore.blocker', {}) in ({}, dict(decay_mult=0.0))
    assert a == without_units(b)


@few_places
@pytest.mark.parametrize(
    ('name', 'units', 'shape'),
    [
        ('tsm_r50_1x1x8_sthv2', 'layer2.0 layer2.1 layer3.0 layer3.1', (16,)),
        ('uniformer-s_16x4_kinetics400', 'blocks3.1 blocks3.3 blocks3.5', (2, 8)),
    ],
)
def test_a_network_starts_as_without_units(name, units, shape, tmp_path):
    """A unit of TSM takes the frames one by one, a unit of UniFormer the clip."""
    model, plain = (
        build_model(small_config(f'{prefix}{name}', tmp_path))
        for prefix in ('glore_', '')
    )
    model.init_weights()
    found = find_units(model)
    assert ' '.join(found) == ' '.join(f'backbone.{u}.glore' for u in units.split())
    state = model.state_dict()
    plain.load_state_dict({k: v for k, v in state.items() if '.glore.' not in k})
    seen = []
    for unit in found.values():
        unit.register_forward_pre_hook(lambda _, args: seen.append(args[0].shape))
    inputs = TASK.example_inputs(small_config(name, tmp_path))
    size = (2, *inputs['inputs'].shape[1:])
    inputs['inputs'] = torch.randn(size)
    with torch.no_grad():
        out, expected = (net.eval()(**inputs) for net in (model, plain))
    assert expected.std() > 0
    assert torch.equal(out, expected)
    spatial = 2 if 'tsm' in name else 3
    for x, unit in zip(seen, found.values(), strict=True):
        assert len(x) == spatial + 2
        assert (x[0], *x[2:-2]) == shape
        assert x[1] == unit.in_channels


def test_views_of_networks_that_sample_the_whole_video():
    cfg = read('glore_tsm_r50_1x1x8_sthv2')
    for clips, crops in ((3, 1), (1, 5)):
        with pytest.raises(UserError, match='8 segments of the video; expected 1 or 2'):
            TASK.set_views(cfg, clips, crops)
    cfg = read('glore_r50_u16_sthv2')
    TASK.set_views(cfg, 2, 3)
    steps = {step.type: step for step in cfg.test_dataloader.dataset.pipeline}
    assert steps['UniformSample'].num_clips == 2
    assert steps['ThreeCrop'].crop_size == 256


def small_config(name, work_dir, root=None):
    """Load as the tools do, with a narrow network and small crops."""
    cfg = read(name)
    backbone = 'model.backbone' + '.backbone' * name.startswith('glore')
    options = {'work_dir': str(work_dir), 'train_dataloader.batch_size': 2}
    if root:
        options['data_root'] = str(root)
    if 'tsm' in name:
        options |= {
            f'{backbone}.depth': 18,
            f'{backbone}.pretrained': None,  # no downloads
            f'{backbone}.pretrained2d': False,
            'model.cls_head.in_channels': 512,
        }
        if 'glore' in name:  # of two blocks
            options['model.backbone.placement'] = dict(layer2=2, layer3=2)
    elif 'uniformer' in name:
        options |= {
            f'{backbone}.depth': [1, 1, 8, 1],
            f'{backbone}.embed_dim': [8, 16, 32, 64],
            f'{backbone}.head_dim': 8,
            f'{backbone}.pretrained': None,
            f'{backbone}.pretrained2d': False,
            'model.cls_head.in_channels': 64,
        }
    elif 'swin' in name:
        options |= {
            f'{backbone}.arch': dict(
                _delete_=True,
                embed_dims=24,
                depths=[2, 1, 3, 1],
                num_heads=[3, 6, 12, 24],
            ),
            f'{backbone}.pretrained': None,
            f'{backbone}.pretrained2d': False,
            'model.cls_head.in_channels': 192,
        }
    else:
        options[f'{backbone}.base_channels'] = 8
        options['model.cls_head.in_channels'] = 256
    options |= {
        'train_cfg.max_epochs': 1,
        'train_cfg.val_interval': 1,
        'train_cfg.val_begin': 1,
        'default_hooks.checkpoint.interval': 1,
        'default_hooks.logger.interval': 1,
        'param_scheduler': cfg.param_scheduler[:1],
    }
    sizes = dict(
        RandomScaleAspect=dict(short_side=(34, 40)),
        RandomCrop=dict(size=32),
        MultiScaleCrop=dict(input_size=32),
        CenterCrop=dict(crop_size=32),
    )
    for loader in ('train_dataloader', 'val_dataloader', 'test_dataloader'):
        options |= {f'{loader}.num_workers': 0, f'{loader}.persistent_workers': False}
        for i, step in enumerate(cfg[loader].dataset.pipeline):
            where = f'{loader}.dataset.pipeline.{i}'
            for key, value in sizes.get(step.type, {}).items():
                options[f'{where}.{key}'] = value
            if step.type == 'Resize':
                side = 36 if step.get('keep_ratio', True) else 32
                options[f'{where}.scale'] = (-1, 36) if side == 36 else (32, 32)
    return read(name, **options)


def show(cfg, folder):
    """Write pictures, as `tools/test.py --show-dir` does."""
    cfg.custom_hooks.append(dict(type=TASK.visualization_hook, folder=str(folder)))


@few_places
@pytest.mark.parametrize(
    ('kind', 'name'), [each[::2] for each in CONFIGS], ids=lambda value: value
)
def test_trains(kind, name, written, tmp_path):
    """With its own data set, pipelines, optimizer and evaluator."""
    runner = train(small_config(name, tmp_path / 'run', written(kind)), seed=0)
    units = find_units(runner.model).values()
    assert units
    assert all(unit.closing_weight.any() for unit in units)  # they learn
    assert list(tmp_path.rglob('best_acc_top1*.pth'))


@pytest.mark.slow
@few_places
@pytest.mark.parametrize(
    ('kind', 'name'),
    [(kind, name) for kind, *names in CONFIGS for name in names],
    ids=lambda value: value,
)
def test_a_trained_network_tests_infers_and_exports(kind, name, written, tmp_path):
    """A plain network is only trained and tested. ONNX: once for each architecture."""
    root = written(kind)
    runner = train(small_config(name, tmp_path / 'run', root), seed=0)
    cfg = small_config(name, tmp_path / 'run', root)
    checkpoint = str(tmp_path / 'run' / 'epoch_1.pth')
    show(cfg, tmp_path / 'shown')
    metrics = run_test(cfg, checkpoint)
    assert 0 <= metrics['acc/top1'] <= 1
    assert len(list((tmp_path / 'shown').rglob('*.png'))) == NUM_CLIPS
    if not name.startswith('glore'):
        assert not find_units(runner.model)
        return
    clips = sorted(path for path in root.rglob('*') if path.suffix in _VIDEOS)
    clip = str(shutil.copy(clips[0], tmp_path))
    (result,) = infer(cfg, checkpoint, [clip], str(tmp_path / 'out'))
    assert len(result['classes']) == 5
    assert list((tmp_path / 'out').rglob('*.mp4'))
    fixed = 'swin' in name
    exported = export(cfg, checkpoint, 'torchscript', fixed=fixed)
    with pytest.warns(FutureWarning, match='deprecated'):
        network = torch.jit.load(exported.path)
    classes, frames = LAYOUTS[kind].classes, 8 if '8' in name.split('_')[-2] else 16
    size = (1, 3, 32, 32, 32) if fixed else (2, 3, frames, 32, 64)
    assert network(torch.zeros(size)).shape == (size[0], classes)
    axes = f'(batch, 3, {8 if "tsm" in name else "frames"}, height, width)'
    axes = '(1, 3, 32, 32, 32)' if fixed else axes
    assert exported.axes['clips'] == axes
    if name in ONNX:
        exported = export(cfg, checkpoint, 'onnx', size=(64, 64), fixed=fixed)
        assert exported.axes['clips'] == axes.replace('32, 32)', '64, 64)')


_VIDEOS = '.avi', '.mp4', '.webm'


@pytest.mark.slow
@few_places
def test_tsm_is_exported_with_its_number_of_frames(written, tmp_path):
    cfg = small_config('glore_tsm_r50_1x1x8_sthv2', tmp_path / 'run', written('sthv2'))
    train(cfg, seed=0)
    exported = export(cfg, str(tmp_path / 'run' / 'epoch_1.pth'), 'pt2')
    assert exported.axes['clips'] == '(batch, 3, 8, height, width)'
    assert exported.sizes == ['1×3×8×32×32', '2×3×8×64×64']


@pytest.mark.slow
@few_places
def test_two_frames_of_each_segment_and_three_crops(written, tmp_path):
    name, root = 'glore_tsm_r50_1x1x8_sthv2', written('sthv2')
    train(small_config(name, tmp_path / 'run', root), seed=0)
    cfg = small_config(name, tmp_path / 'run', root)
    TASK.set_views(cfg, 2, 3)
    show(cfg, tmp_path / 'shown')
    metrics = run_test(cfg, str(tmp_path / 'run' / 'epoch_1.pth'))
    assert 0 <= metrics['acc/top1'] <= 1
    strip = Image.open(min((tmp_path / 'shown').rglob('*.png')))
    assert strip.width == 8 * (96 + 3)  # the frames of the first view
