"""The fragments of docs/recipes.md train and have the effect that the page names."""

import re
import shutil
from collections import Counter
from math import ceil, sqrt
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from options import cfg_options
from paths import ROOT
from PIL import Image

from glore_mm.apis.train import check, train
from glore_mm.checkpoints.files import read_checkpoint, write_checkpoint
from glore_mm.commands.train import main
from glore_mm.config.build import build_model
from glore_mm.config.load import load_config
from glore_mm.utils.errors import UserError

PAGE = (ROOT / 'docs' / 'recipes.md').read_text()
LOADERS = ('train_dataloader', 'val_dataloader', 'test_dataloader')

pytestmark = pytest.mark.filterwarnings('ignore:GloRe.d has more nodes')


def fragments(heading: str) -> list[str]:
    """The configs in a section of the page."""
    section = re.split('^## ', PAGE.partition(f'\n## {heading}\n')[2], flags=re.M)[0]
    return re.findall(r'^```python\n(.*?)^```$', section, re.M | re.S)


@HOOKS.register_module()
class StepRecorder(Hook):
    """Records the weights after each iteration, and the gradients of each update."""

    def before_train(self, runner):
        self.weights = [copied(runner.model)]
        self.gradients, self.learning_rates = [], []
        runner.optim_wrapper.optimizer.register_step_pre_hook(self._step)

    def _step(self, optimizer, *_):
        groups = optimizer.param_groups
        self.gradients.append(
            [p.grad.clone() for g in groups for p in g['params'] if p.grad is not None]
        )
        self.learning_rates.append([group['lr'] for group in groups])

    def after_train_iter(self, runner, *_, **__):
        self.weights.append(copied(runner.model))


def copied(model):
    return {name: value.clone() for name, value in model.state_dict().items()}


def changed(before, after):
    return {name for name in before if not torch.equal(before[name], after[name])}


@pytest.fixture
def place(small_data, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return small_data


#: Options that make the networks and inputs of a task small.
SMALL = dict(
    mmpretrain={'model.backbone.unit.num_nodes': 4},
    mmseg={'model.pretrained': None, 'model.data_preprocessor.size': (48, 96),
           'model.decode_head.channels': 8, 'model.auxiliary_head.channels': 8},
    mmaction={'model.backbone.unit.num_nodes': 4},
)  # fmt: skip
SIZES = dict(
    RandomResize=dict(scale=(96, 48)),
    RandomCrop=dict(crop_size=(48, 96)),
    Resize=dict(scale=(96, 48)),
    RandomResizedCrop=dict(scale=64),
    ResizeEdge=dict(scale=64),
    CenterCrop=dict(crop_size=64),
)
#: Further options, by a part of the name of the base.
NETWORKS = {
    'cls/glore_mini': {'model.backbone.backbone.base_channels': 4,
                       'model.head.in_channels': 128},
    'video/glore_mini': {'model.backbone.backbone.base_channels': 4,
                         'model.cls_head.in_channels': 128},
    'seg/glore_mini': {'model.backbone.base_channels': 8,
                       'model.backbone.stem_channels': 8,
                       'model.decode_head.in_channels': 64,
                       'model.auxiliary_head.in_channels': 32},
    'seg/glore_backbone': {'model.backbone.backbone.base_channels': 8,
                           'model.backbone.backbone.stem_channels': 8,
                           'model.decode_head.in_channels': 256,
                           'model.auxiliary_head.in_channels': 128},
    'convnext': {'model.backbone.backbone.arch': dict(_delete_=True,
                     depths=[1, 1, 4, 1], channels=[8, 8, 8, 8]),
                 'model.backbone.backbone.init_cfg': None,
                 'model.decode_head.in_channels': [8, 8, 8, 8],
                 'model.auxiliary_head.in_channels': 8},
    'swin': {'model.backbone.backbone.pad_small_map': True,
             'model.backbone.backbone.arch': dict(_delete_=True, embed_dims=16,
                     depths=[1, 1, 4, 1], num_heads=[1, 1, 1, 1]),
             'model.head.in_channels': 128,
             'model.head.num_classes': 10, 'data_preprocessor.num_classes': 10,
             'val_evaluator.topk': (1,),
             'test_evaluator.topk': (1,)},
}  # fmt: skip


def load(text, data=None, options=(), steps=2):
    """Load a fragment for a training of a few steps on small data."""
    Path('recipe.py').write_text(text)
    cfg = Config.fromfile('recipe.py', import_custom_modules=False)
    task = cfg.default_scope
    own = {**SMALL[task], 'default_hooks.logger.interval': 1}
    for name, values in NETWORKS.items():
        own |= values if name in text else {}
    unit, end = ('iters', steps) if task == 'mmseg' else ('epochs', 1)
    for key in (f'train_cfg.max_{unit}', 'train_cfg.val_interval',
                'default_hooks.checkpoint.interval'):  # fmt: skip
        own[key] = end
    for loader in ('train_dataloader', 'val_dataloader', 'test_dataloader'):
        own |= {f'{loader}.num_workers': 0, f'{loader}.persistent_workers': False}
        key, dataset = f'{loader}.dataset', cfg[loader].dataset
        while 'dataset' in dataset:
            key, dataset = f'{key}.dataset', dataset.dataset
        if dataset.type == 'ImageNetFolders':
            own[f'{key}.type'] = 'ClassFolders'
        if loader == 'train_dataloader' and task != 'mmseg':
            own[f'{key}.indices'] = 2 * steps
        for index, step in enumerate(dataset.pipeline):
            for name, value in SIZES.get(step.type, {}).items():
                own[f'{key}.pipeline.{index}.{name}'] = value
    own['train_dataloader.batch_size'] = 2
    if data:
        own['data_root'] = str(data)
    cfg = load_config('recipe.py', {**own, **dict(options)}, 'run')
    if task == 'mmpretrain':
        cfg.param_scheduler = []  # for more epochs
    cfg.custom_hooks = [*cfg.get('custom_hooks', []), dict(type='StepRecorder')]
    return cfg


def trained(cfg, **options):
    """Train; return the runner and what was recorded."""
    runner = train(cfg, seed=0, **options)
    return runner, next(hook for hook in runner.hooks if isinstance(hook, StepRecorder))


def test_ema(place):
    (text,) = fragments('EMA of the weights')
    short = {'train_dataloader.dataset.indices': 8}
    _, seen = trained(load(text, place['cls'], short))
    saved = read_checkpoint('run/epoch_1.pth')
    averaged = seen.weights[1]
    for weights in seen.weights[2:]:
        averaged = {k: torch.lerp(v.float(), weights[k].float(), 0.001)
                    for k, v in averaged.items()}  # fmt: skip
    name = 'head.fc.weight'
    torch.testing.assert_close(saved['state_dict'][name], averaged[name])
    own = saved['ema_state_dict'][f'module.{name}']
    assert torch.equal(own, seen.weights[-1][name])
    assert not torch.equal(own, saved['state_dict'][name])


@pytest.mark.slow
def test_ema_resumes(place):
    (text,) = fragments('EMA of the weights')
    states = []
    for epochs, resume in ((2, None), (1, None), (2, 'latest')):
        cfg = load(text, place['cls'], {'train_cfg.max_epochs': epochs})
        cfg.work_dir = f'run_{bool(states)}'
        train(cfg, resume, seed=0)
        states.append(read_checkpoint(f'{cfg.work_dir}/epoch_{epochs}.pth'))
    for key in ('state_dict', 'ema_state_dict'):
        assert not changed(states[0][key], states[2][key])


def test_gradient_accumulation(place):
    (text,) = fragments('Gradient accumulation')
    _, seen = trained(load(text, place['seg'], steps=8))
    moved = [
        'decode_head.conv_seg.weight' in changed(before, after)
        for before, after in zip(seen.weights, seen.weights[1:], strict=False)
    ]
    assert moved == [False, False, False, True] * 2
    assert len(seen.gradients) == 2


def test_gradient_clipping(place):
    (text,) = fragments('Gradient clipping')
    steep = {'model.decode_head.loss_decode.loss_weight': 10.0}
    runner, seen = trained(load(text, place['seg'], steep))
    norms = [torch.stack([g.norm() for g in step]).norm() for step in seen.gradients]
    logged = runner.message_hub.get_scalar('train/grad_norm').data[0]
    assert (logged > 1).all()
    torch.testing.assert_close(torch.stack(norms), torch.ones(2), rtol=1e-3, atol=0)


def rates(text, data):
    """Train, and return the factor of the learning rate of each parameter."""
    cfg = load(text, data)
    runner, _ = trained(cfg)
    names = {id(p): name for name, p in runner.model.named_parameters()}
    base = cfg.optim_wrapper.optimizer.lr
    return {
        names[id(p)]: group.get('initial_lr', group['lr']) / base
        for group in runner.optim_wrapper.optimizer.param_groups
        for p in group['params']
    }


@pytest.mark.parametrize(
    ('index', 'task', 'last', 'factor'),
    [(0, 'seg', 'backbone.stages.2.3.', 0.8**3), (1, 'cls', 'backbone.stages.3.', 0.8)],
    ids=['mmseg', 'mmpretrain'],
)
def test_a_unit_has_the_learning_rate_of_its_block(index, task, last, factor, place):
    found = rates(fragments('Layer-wise learning rates')[index], place[task])
    units = {name.partition('glore.')[0] for name in found if '.glore.' in name}
    assert len(units) == 3
    for block in units:
        (own,) = {rate for name, rate in found.items() if name.startswith(block)}
        assert own < factor
    (own,) = {rate for name, rate in found.items() if name.startswith(last)}
    assert own == pytest.approx(factor)
    assert max(found.values()) == 1


def test_learning_rates_of_stages(place):
    found = rates(fragments('Layer-wise learning rates')[2], place['cls'])
    expected = dict(conv1=0.1, layer1=0.2, layer2=0.4, layer3=0.6, layer4=0.8)
    for name, factor in found.items():
        part = name.split('.')[1]
        own = 1.0 if '.glore.' in name else expected.get(part, 1.0)
        assert factor == pytest.approx(own), name
    assert any('.glore.' in name for name in found)


@pytest.mark.parametrize('task', ['seg', 'cls', 'video'])
def test_class_balanced_sampling(task, place):
    """The samples of the rarest class are repeated as often as the page says."""
    (text,) = fragments('Class-balanced sampling')
    cfg = load(text.replace('seg/', f'{task}/'), place[task], steps=1)
    cfg.train_dataloader.dataset.dataset.pop('indices', None)
    runner, _ = trained(cfg)
    dataset = runner.train_dataloader.dataset
    plain = dataset.dataset
    classes = [set(plain_classes(plain, index)) for index in range(len(plain))]
    count = Counter(c for found in classes for c in found)
    expected = []
    for index, found in enumerate(classes):
        share = min(count[c] for c in found) / len(classes)
        expected += [index] * (ceil(sqrt(0.5 / share)) if share < 0.5 else 1)
    assert dataset.repeat_indices == expected and len(expected) > len(classes)
    assert [set(dataset.get_cat_ids(i)) for i in range(len(dataset))] == [
        classes[index] for index in expected
    ]


def plain_classes(dataset, index):
    info = dataset.get_data_info(index)
    if 'seg_map_path' not in info:
        return [info.get('gt_label', info.get('label'))]
    table = info['label_map'] or {}
    values = np.unique(Image.open(info['seg_map_path'])).tolist()
    return {table.get(value, value) for value in values} - {255}


def test_class_weights_of_balanced_samples(place):
    """The weights are those of the samples with their repetitions."""
    (text,) = fragments('Class-balanced sampling')
    weights = []
    for share in (0.01, 0.5):
        key = 'train_dataloader.dataset.oversample_thr'
        options = {key: share, 'class_weights': 'median_frequency'}
        cfg = load(text, place['seg'], options)
        check(cfg)
        weights.append(cfg.model.decode_head.loss_decode.class_weight)
    assert weights[0] != weights[1] and len(weights[1]) == 19


def test_balancing_and_class_weights_of_several_data_sets(place):
    """The labels are found through wrappers."""
    (text,) = fragments('Class-balanced sampling')
    found = []
    for wrap in (False, True):
        cfg = load(text, place['seg'], {'class_weights': 'median_frequency'})
        balanced = cfg.train_dataloader.dataset
        if wrap:
            twice = dict(type='ConcatDataset', datasets=[balanced.dataset] * 2)
            cfg.train_dataloader.dataset.dataset = twice
        check(cfg)
        found.append(cfg.model.decode_head.loss_decode.class_weight)
    assert found[0] == found[1]


def test_mixed_precision(place, monkeypatch):
    """The layers compute in half precision, the weights stay in float32."""
    (text,) = fragments('Mixed precision')
    amp = not torch.cuda.is_available()
    if amp:  # the fragment is for a GPU; --amp has the same effect on a CPU
        text = text.replace(", dtype='bfloat16'", '')
    forward, types = torch.nn.Conv2d.forward, set()

    def watched(self, x):
        y = forward(self, x)
        types.add(y.dtype)
        return y

    monkeypatch.setattr(torch.nn.Conv2d, 'forward', watched)
    runner, seen = trained(load(text, place['seg']), amp=amp)
    assert torch.bfloat16 in types
    assert {p.dtype for p in runner.model.parameters()} == {torch.float32}
    assert changed(seen.weights[0], seen.weights[1])


def is_of_unit(name):
    return '.glore.' in name


def test_frozen_stages(place):
    text = fragments('Freeze a part of the network')[0]
    _, seen = trained(load(text, place['seg']))
    names = changed(seen.weights[0], seen.weights[-1])
    frozen = (
        'backbone.stem.',
        'backbone.layer1.',
        'backbone.layer2.',
        'backbone.layer3.',
    )
    kept = [name for name in seen.weights[0] if name.startswith(frozen)]
    assert {name for name in names if name in kept and not is_of_unit(name)} == set()
    for unit in {name.partition('.glore.')[0] for name in kept if is_of_unit(name)}:
        assert f'{unit}.glore.blocker.weight' in names
    assert 'backbone.layer4.1.conv2.weight' in names
    norms = [name for name in names if 'running' in name and 'backbone' in name]
    assert all(map(is_of_unit, norms))


def test_frozen_but_for_the_units(place):
    text = fragments('Freeze a part of the network')[1]
    runner, seen = trained(load(text, place['seg'], steps=3))
    names = changed(seen.weights[0], seen.weights[-1])
    parameters = {name for name, _ in runner.model.named_parameters()}
    assert names & parameters and all(map(is_of_unit, names & parameters))
    of_heads = ('decode_head', 'auxiliary_head')
    assert all(is_of_unit(n) or n.startswith(of_heads) for n in names - parameters)


def test_fine_tuning_with_other_classes(place, tmp_path, capsys):
    (text,) = fragments('Fine-tune with other classes')
    for split in ('train', 'val'):
        for folder in sorted((place['cls'] / split).iterdir())[:3]:
            shutil.copytree(
                folder, tmp_path / 'data/three_classes' / split / folder.name
            )
    width = NETWORKS['cls/glore_mini']
    ten = build_model(load_config('glore_mm::cls/glore_mini.py', {
        **width, **SMALL['mmpretrain'], 'classes': list('abcdefghij')}))  # fmt: skip
    torch.nn.init.ones_(ten.backbone.layer3[0].glore.closing_weight)
    path = tmp_path / 'work_dirs/glore_mini/epoch_6.pth'
    path.parent.mkdir(parents=True)
    write_checkpoint(dict(state_dict=ten.state_dict(), meta={}), str(path))

    runner, seen = trained(load(text, options={'train_dataloader.drop_last': False}))
    begin, loaded = seen.weights[0], ten.state_dict()
    other = {name for name in begin if not torch.equal(begin[name], loaded[name])}
    assert other == {'head.fc.weight', 'head.fc.bias'}
    log = capsys.readouterr().out
    assert 'do not match exactly' in log
    assert re.search(
        r'size mismatch for head.fc.weight.*\[10, 128\].*\[3, 128\]', log, re.S
    )
    named = {id(p): name for name, p in runner.model.named_parameters()}
    for group in runner.optim_wrapper.optimizer.param_groups:
        ten_times = group['lr'] == pytest.approx(0.02)
        assert ten_times == named[id(group['params'][0])].startswith('head.')


def test_early_stopping(place):
    """Without a change of the weights, the score of the first validation stays best."""
    (text,) = fragments('Early stopping')
    norm_cfg = dict(type='GN', num_groups=1)  # without statistics that change
    options = {
        'train_cfg.max_epochs': 100,
        'optim_wrapper.optimizer.lr': 0.0,
        'model.backbone.backbone.norm_cfg': norm_cfg,
        'model.backbone.unit.norm_cfg': norm_cfg,
    }
    runner, _ = trained(load(text, place['cls'], options, steps=1))
    assert runner.epoch == 6


def trained_by_command(options, *arguments):
    """Run tools/train.py on the network of the demo; return its learning rate."""
    own = {**SMALL['mmpretrain'], **NETWORKS['cls/glore_mini']}
    own |= {'train_dataloader.batch_size': 2, 'train_dataloader.num_workers': 0,
            'train_dataloader.persistent_workers': False,
            'default_hooks.checkpoint.interval': 1}  # fmt: skip
    own |= {'train_cfg.max_epochs': 1, 'param_scheduler': [], **options}
    config = 'glore_mm::cls/glore_mini.py'
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr('sys.argv', ['train.py', config, '--seed', '0', '--work-dir',
                                   'run', *arguments, *cfg_options(own)])  # fmt: skip
        main()
    done = own['train_cfg.max_epochs']
    saved = read_checkpoint(f'run/epoch_{done}.pth')['optimizer']
    (rate,) = {group['lr'] for group in saved['param_groups']}
    return rate


def test_learning_rate_is_scaled(place):
    """The config's is 0.002 for 32 samples; a batch has 2, and 4 make an update."""
    options = {'data_root': place['cls'], 'optim_wrapper.accumulative_counts': 4}
    scaled = trained_by_command(options, '--auto-scale-lr')
    assert scaled == pytest.approx(0.002 * 8 / 32)


@pytest.mark.slow
def test_scaled_learning_rate_is_resumed(place):
    options = {'data_root': place['cls']}
    assert trained_by_command(options) == 0.002
    scaled = trained_by_command(options, '--auto-scale-lr')
    assert scaled == pytest.approx(0.002 * 2 / 32)
    longer = {**options, 'train_cfg.max_epochs': 2}
    assert trained_by_command(longer, '--resume') == scaled


@pytest.mark.parametrize('found', [None, dict(enable=True, base_batch_size='16')])
def test_scaling_needs_the_batch_size_of_the_recipe(found, place):
    (text,) = fragments('Gradient clipping')
    cfg = load(text, place['seg'], {'auto_scale_lr': found})
    message = r'recipe.py: auto_scale_lr.base_batch_size is (None|.16.); expected'
    with pytest.raises(UserError, match=message):
        check(cfg, auto_scale_lr=found is None)


@pytest.mark.slow
def test_batch_sizes_are_those_of_the_configs():
    """In the table, and as `base_batch_size` in the configs."""
    rows = re.findall(r'^\| (`.*) \| (\d+) × (\d+) \| (\d+) \|$', PAGE, re.M)
    assert len(rows) == 7
    known = set()
    for names, batch, processes, base in rows:
        assert int(batch) * int(processes) == int(base)
        paths = {path for name in re.findall('`(.*?)`', names)
                 for path in (ROOT / 'configs').glob(f'{name}.py')} - known  # fmt: skip
        known |= paths
        for path in paths:
            cfg = Config.fromfile(path, import_custom_modules=False)
            assert cfg.train_dataloader.batch_size == int(batch), path
            assert cfg.auto_scale_lr['base_batch_size'] == int(base), path
    others = {*(ROOT / 'configs/seg').glob('*.py')} - known
    assert [path.stem for path in others] == ['glore_voc12aug']
    for path in [
        *(ROOT / 'configs').glob('cls/*.py'),
        *ROOT.glob('configs/video/*.py'),
    ]:
        if path not in known:
            cfg = Config.fromfile(path, import_custom_modules=False)
            assert cfg.get('auto_scale_lr'), path
            base = cfg.auto_scale_lr.base_batch_size
            assert base % cfg.train_dataloader.batch_size == 0, path
