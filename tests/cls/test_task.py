"""The tools on images, as a user runs them: real processes, real files."""

import json
import re
import shutil
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from options import tiny_epochs
from paths import ROOT
from PIL import Image

from glore_mm.analysis.dumps import check_same_data, read_dump
from glore_mm.apis.test import add_test_outputs
from glore_mm.apis.test import test as run_test
from glore_mm.apis.train import train
from glore_mm.checkpoints.files import read_checkpoint, write_checkpoint
from glore_mm.config.load import load_config
from glore_mm.synthetic.mini_imagenet import CLASSES, write_mini_imagenet
from glore_mm.utils.errors import UserError

CONFIGS = ROOT / 'configs' / 'cls'
CONFIG = CONFIGS / 'glore_mini.py'


@pytest.fixture(scope='session')
def photographs(tmp_path_factory):
    """A few generated images; must not be changed."""
    root = tmp_path_factory.mktemp('data') / 'mini'
    return write_mini_imagenet(root, num_train=20, num_val=10, scale=0.3)


@pytest.fixture
def damaged(photographs, tmp_path):
    """A copy with one truncated image in each split, and the paths of these two."""
    root = Path(shutil.copytree(photographs, tmp_path / 'damaged'))
    bad = [min((root / split).glob('*/*')) for split in ('train', 'val')]
    for path in bad:
        path.write_bytes(path.read_bytes()[:1000])
    return root, *bad


options = partial(tiny_epochs, head='head')


@pytest.fixture(scope='session')
def trained(tool, photographs, tmp_path_factory):
    """The work dir and the output of a training."""
    folder = tmp_path_factory.mktemp('trained')
    done = tool('train', CONFIG, '--seed', 0, *options(photographs), cwd=folder)
    return folder, done.stdout


@pytest.fixture(scope='session')
def checkpoint(trained):
    return trained[0] / 'work_dirs' / 'glore_mini' / 'epoch_2.pth'


def test_train_prints_its_config_and_progress(trained, checkpoint):
    _, output = trained
    first = output.splitlines()[0]
    assert first.startswith(f'config {CONFIG} | task classification | device cpu')
    assert re.search(r'Epoch\(train\) +\[2\]\[4/5\].*eta: 0:00:\d\d.*loss: ', output)
    assert re.search(r'Epoch\(val\) \[2\].*accuracy/top1: [\d.]+', output)
    assert 'left out' not in output
    assert checkpoint.is_file()


@pytest.mark.slow
def test_training_skips_unreadable_images(tool, damaged, tmp_path):
    root, bad, other = damaged
    other.unlink()
    shutil.rmtree(other.parent)  # this class has no image in val
    for file in (root / 'train' / CLASSES[9]).iterdir():
        file.unlink()
    every = options(root, **{'train_dataloader.drop_last': False})
    done = tool('train', CONFIG, '--amp', *every, cwd=tmp_path)
    lines = [
        x.split('WARNING - ')[1] for x in done.stdout.splitlines() if 'left o' in x
    ]
    assert lines[0].startswith(f'left out of training: {root}/train: no images')
    assert lines[0].endswith(f'in {CLASSES[9]!r}')
    assert lines[1].startswith(f'left out of training: {bad}: cannot be read as an ima')
    assert lines[2:] == ['epoch 1 left out 1 sample(s)', 'epoch 2 left out 1 sample(s)']


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (
            {'model.head.num_classes': 5},
            'has 10 classes, but model.head.num_classes is 5',
        ),
        (
            {'train_dataloader.dataset.split': 'trainn'},
            '/trainn; expected one with a folder of images for each class',
        ),
        (
            {'train_dataloader.dataset.classes': sorted(CLASSES)[::-1]},
            r'the classes of val_dataloader.dataset \(ahead_0, .* and 5 more\) are not '
            r'those of train_dataloader.dataset \(ahead_9, .*Labels would be mistaken',
        ),
        (
            {'load_from': 'alone.pth'},
            "If it is only a backbone, such as torchvision's, load it in the con",
        ),
        (
            {'train_dataloader.batch_size': 32},
            'train_dataloader.dataset has 20 samples, but a batch takes 32',
        ),
    ],
)
def test_errors_before_training(change, message, photographs, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.save({'conv1.weight': torch.ones(1)}, 'alone.pth')
    changes = {'data_root': str(photographs), 'train_dataloader.batch_size': 4} | change
    cfg = load_config(str(CONFIG), changes, work_dir=str(tmp_path / 'runs'))
    with pytest.raises(UserError, match=message):
        train(cfg)
    assert not (tmp_path / 'runs').exists()


@pytest.mark.slow
def test_classes_in_another_order(tool, photographs, checkpoint, tmp_path):
    """All data sets have them, and a test compares them with the checkpoint's."""
    names = Path(tmp_path / 'names.txt')
    names.write_text('\n'.join(sorted(CLASSES)[::-1]))
    other = options(photographs, classes=names)
    cfg = load_config(str(CONFIG), dict(data_root=str(photographs), classes=str(names)))
    loaders = cfg.train_dataloader, cfg.val_dataloader, cfg.test_dataloader
    assert {loader.dataset.classes for loader in loaders} == {str(names)}
    done = tool('test', CONFIG, checkpoint, *other, cwd=tmp_path, check=False)
    assert done.returncode == 1
    assert 'the classes of test_dataloader.dataset (ahead_9, ahead_8' in done.stderr
    assert f'are not those of {checkpoint} (ahead_0, ahead_1' in done.stderr


@pytest.mark.slow
def test_testing_stops_at_a_damaged_image(tool, damaged, checkpoint, tmp_path):
    root, _, bad = damaged
    done = tool('test', CONFIG, checkpoint, *options(root), cwd=tmp_path, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith(f'error: {bad}: cannot be read as an image: image fi')
    assert done.stderr.endswith('Fetch it again, or take it out of the data set.\n')


@pytest.mark.slow
def test_test_writes_scores_and_images(tool, photographs, checkpoint, tmp_path):
    done = tool(
        'test', CONFIG, checkpoint, '--dump', 'out/scores.npz', '--show-dir', 'shown',
        *options(photographs), cwd=tmp_path,
    )  # fmt: skip
    accuracy = float(re.search(r'accuracy/top1: ([\d.]+)', done.stdout)[1])
    with np.load(tmp_path / 'out' / 'scores.npz') as dump:
        assert dump['classes'].tolist() == list(CLASSES)
        assert np.allclose(dump['scores'].sum(axis=1), 1, atol=1e-5)
        right = dump['scores'].argmax(axis=1) == dump['labels']
        names = dump['names'].tolist()
        truth = [CLASSES[label] for label in dump['labels']]
    assert 100 * right.mean() == pytest.approx(accuracy, abs=1e-3)
    assert sorted(names) == sorted(str(p) for p in photographs.glob('val/*/*'))
    assert [Path(name).parent.name for name in names] == truth
    for name in names:
        path = Path(name)
        shown = tmp_path / 'shown' / path.relative_to(photographs / 'val')
        shown = Image.open(f'{shown}.jpg')
        assert shown.size == Image.open(path).size


@pytest.mark.slow
def test_tta_averages_flips(tool, photographs, checkpoint, tmp_path):
    """With --tta an image and its mirror image have the same scores."""
    mirrored = Path(shutil.copytree(photographs, tmp_path / 'mirrored'))
    for path in mirrored.glob('val/*/*'):
        flipped = Image.open(path).transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        flipped.save(path.with_suffix('.png'))
        path.unlink()
    scores = {}
    pipeline = [
        dict(type='LoadImage'),
        dict(type='Resize', scale=(80, 80)),
        dict(
            type='TestTimeAug',
            transforms=[
                [dict(type='RandomFlip', prob=0.0), dict(type='RandomFlip', prob=1.0)],
                [dict(type='PackInputs')],
            ],
        ),
    ]
    config = tmp_path / 'flipped.py'
    config.write_text(f'_base_ = {str(CONFIG)!r}\ntta_pipeline = {pipeline!r}\n')
    for name, root in (('plain', photographs), ('mirrored', mirrored)):
        dump = tmp_path / f'{name}.npz'
        tool('test', config, checkpoint, '--tta', '--dump', dump, *options(root),
             cwd=tmp_path)  # fmt: skip
        with np.load(dump) as arrays:
            scores[name] = arrays['scores']
    difference = np.abs(scores['plain'] - scores['mirrored']).max()
    assert difference < 1e-3 * np.ptp(scores['plain'], axis=0).max()

    with open(config, 'a') as file:
        file.write("custom_hooks = [dict(type='EMAHook')]\n")
    content = read_checkpoint(str(checkpoint))
    average = {f'module.{key}': value for key, value in content['state_dict'].items()}
    average['steps'] = torch.tensor(1)
    averaged = str(tmp_path / 'averaged.pth')
    write_checkpoint(dict(content, ema_state_dict=average), averaged)
    tool('test', config, averaged, '--tta', '--dump', dump, *options(mirrored),
         cwd=tmp_path)  # fmt: skip
    with np.load(dump) as arrays:  # the weights are those of the checkpoint, too
        np.testing.assert_allclose(arrays['scores'], scores['mirrored'], atol=1e-6)


@pytest.mark.slow
def test_infer_classifies_files_folders_and_patterns(
    tool, photographs, checkpoint, tmp_path
):
    """With unusual image modes, and without access to the data set."""
    source = min(photographs.glob('val/*/*'))
    folder = tmp_path / 'mine'
    folder.mkdir()
    (folder / 'no photograph').mkdir()
    shutil.copy(source, folder / 'a.JPEG')
    Image.open(source).convert('CMYK').save(folder / 'b.jpg', quality=95)
    Image.open(source).convert('L').save(folder / 'c.png')
    turned = Image.open(source).transpose(Image.Transpose.ROTATE_90)
    exif = Image.Exif()
    exif[0x0112] = 6
    turned.save(folder / 'd.jpg', quality=95, exif=exif)
    done = tool(
        'infer', CONFIG, checkpoint, 'mine/*', '--out-dir', 'out', '--json', 'out.json',
        '--csv', 'out.csv', '--top-k', 3, *options(tmp_path / 'nowhere'), cwd=tmp_path,
    )  # fmt: skip
    records = json.loads((tmp_path / 'out.json').read_text())
    assert [Path(r['input']).name for r in records] == [
        'a.JPEG',
        'b.jpg',
        'c.png',
        'd.jpg',
    ]
    for record in records:
        scores = [found['score'] for found in record['classes']]
        assert len(scores) == 3 and scores == sorted(scores, reverse=True)
        assert {found['label'] for found in record['classes']} <= set(CLASSES)
    plain, inks, _, upright = (
        {found['label']: found['score'] for found in r['classes']} for r in records
    )
    for other in (inks, upright):
        assert other.keys() == plain.keys()
        assert all(abs(other[label] - plain[label]) < 0.02 for label in plain)
    assert done.stdout.count(f'{records[0]["classes"][0]["label"]} ') >= 1
    lines = (tmp_path / 'out.csv').read_text().splitlines()
    assert lines[0] == 'input,rank,label,score' and len(lines) == 1 + 4 * 3
    original = Image.open(source)
    for name in ('a.JPEG', 'b.jpg', 'c.png.jpg', 'd.jpg'):
        drawn = Image.open(tmp_path / 'out' / name)
        assert drawn.format == 'JPEG'
        assert drawn.width >= original.width and drawn.height > original.height


@pytest.mark.slow
def test_infer_reports_files_that_are_not_images(
    tool, photographs, checkpoint, tmp_path
):
    """Results of files before it are printed and written."""
    shutil.copy(min(photographs.glob('val/*/*')), tmp_path / 'a.jpg')
    (tmp_path / 'note.txt').write_text('no image')
    done = tool(
        'infer', CONFIG, checkpoint, 'a.jpg', 'note.txt', '--json', 'found.json',
        *options(photographs), cwd=tmp_path, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    warning, error = done.stderr.splitlines()
    assert warning.startswith('left out: note.txt: cannot be read as an image: ')
    assert error.startswith('error: 1 of 2 inputs could not be read, the first: note')
    assert 'a.jpg: ahead_' in done.stdout
    record, unread = json.loads((tmp_path / 'found.json').read_text())
    assert unread == dict(input='note.txt', error=warning.removeprefix('left out: '))
    assert record['input'] == 'a.jpg'


@pytest.mark.slow
def test_resume_continues_the_training(tool, photographs, trained, tmp_path):
    shutil.copytree(trained[0] / 'work_dirs', tmp_path / 'work_dirs')
    longer = options(photographs, **{'train_cfg.max_epochs': 3})
    done = tool('train', CONFIG, '--resume', *longer, cwd=tmp_path)
    assert 'Epoch(train) [2]' not in done.stdout and '[3][4/5]' in done.stdout


@pytest.mark.slow
def test_a_recipe_with_mixed_images_trains(tool, photographs, tmp_path):
    """mmpretrain's A3 recipe on our data sets: RandAugment, Mixup, CutMix, LAMB."""
    config = tmp_path / 'mixed.py'
    base = CONFIGS / 'glore_postact_r50_rsb-a3_imagenet.py'
    config.write_text(
        f'_base_ = {str(base)!r}\n'
        "folders = dict(type='ClassFolders', data_root='data')\n"
        'train_dataloader = dict(dataset=folders, batch_size=4, num_workers=1)\n'
        'val_dataloader = dict(dataset=folders, batch_size=4, num_workers=1)\n'
        'test_dataloader = val_dataloader\n'
        "small = dict(depth=18, norm_cfg=dict(type='BN'))\n"
        'model = dict(backbone=dict(backbone=small, placement=dict(layer3=1)),'
        ' head=dict(num_classes=10, in_channels=512))\n'
        'data_preprocessor = dict(num_classes=10)\n'
        'train_cfg = dict(max_epochs=1)\n'
        'default_hooks = dict(logger=dict(interval=1))\n'
    )
    (tmp_path / 'data').symlink_to(photographs)
    done = tool('train', config, cwd=tmp_path)
    losses = re.findall(r'loss: (\S+)', done.stdout)
    assert len(losses) == 5 and all(0 < float(loss) < 100 for loss in losses)
    state = torch.load(tmp_path / 'work_dirs/mixed/epoch_1.pth', weights_only=True)
    assert state['state_dict']['backbone.layer3.0.glore.blocker.weight'].any()


def test_samples_with_several_labels(tmp_path, monkeypatch):
    """mmpretrain's multi-label data sets: trained, tested, dumped, drawn."""
    monkeypatch.chdir(tmp_path)
    for index, color in enumerate(((200, 0, 0), (0, 200, 0), (200, 200, 0), (0, 0, 0))):
        Image.new('RGB', (48, 48), color).save(f'{index}.png')
    samples = [dict(img_path=f'{i}.png', gt_label=label)
               for i, label in enumerate(([0], [1], [0, 1], []))]  # fmt: skip
    listed = dict(metainfo=dict(classes=['red', 'green']), data_list=samples)
    Path('list.json').write_text(json.dumps(listed))
    Path('config.py').write_text(
        f"_base_ = '{CONFIG}'\n"
        "data = dict(_delete_=True, type='MultiLabelDataset', data_root='.',\n"
        "    ann_file='list.json', data_prefix='')\n"
        'serial = dict(batch_size=2, num_workers=0, persistent_workers=False)\n'
        'train_dataloader = dict(\n'
        '    dataset=dict(pipeline=_base_.train_pipeline, **data), **serial)\n'
        'val_dataloader = dict(\n'
        '    dataset=dict(pipeline=_base_.test_pipeline, **data), **serial)\n'
        'test_dataloader = val_dataloader\n'
        "loss = dict(type='CrossEntropyLoss', use_sigmoid=True)\n"
        'model = dict(backbone=dict(backbone=dict(base_channels=4)), head=dict(\n'
        "    _delete_=True, type='MultiLabelLinearClsHead', num_classes=2,\n"
        '    in_channels=128, loss=loss))\n'
        "val_evaluator = dict(_delete_=True, type='AveragePrecision')\n"
        'test_evaluator = val_evaluator\n'
        'default_hooks = dict(checkpoint=dict(save_best=None))\n'
        'train_cfg = dict(max_epochs=1, val_interval=1)\n'
    )
    train(load_config('config.py'), seed=0)
    cfg = load_config('config.py')
    add_test_outputs(cfg, show_dir='show', dump='dump.npz')
    scores = run_test(cfg, 'work_dirs/config/epoch_1.pth')
    dump = read_dump('dump.npz')
    assert dump.labels.tolist() == [[1, 0], [0, 1], [1, 1], [0, 0]]
    expected = []
    for label, score in zip(dump.labels.T, dump.scores.T, strict=True):
        hits = label[np.argsort(-score)]
        precision = hits.cumsum() / np.arange(1, 5)
        expected.append(precision[hits == 1].mean())
    assert scores['multi-label/mAP'] == pytest.approx(100 * np.mean(expected), abs=0.01)
    assert len(list(Path('show').iterdir())) == 4
    with pytest.raises(UserError, match='samples with several labels. Only samples'):
        check_same_data(dump, dump)
