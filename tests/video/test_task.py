"""The tools on videos, as a user runs them: real processes, real files."""

import json
import re
import shutil
from functools import partial
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
import torch
from options import tiny_epochs
from paths import ROOT
from PIL import Image

from glore_mm.synthetic.mini_kinetics import CLASSES, write_mini_kinetics

CONFIGS = ROOT / 'configs' / 'video'
CONFIG = CONFIGS / 'glore_mini.py'


@pytest.fixture(scope='session')
def videos(tmp_path_factory):
    """A few generated videos; must not be changed."""
    root = tmp_path_factory.mktemp('data') / 'mini'
    return write_mini_kinetics(root, num_train=16, num_val=8, scale=0.3)


def damaged(videos, folder, split):
    """A copy with the first video of a split truncated."""
    root = Path(shutil.copytree(videos, folder / 'damaged'))
    path = first(root, split)
    path.write_bytes(path.read_bytes()[:-2000])
    return root


def first(root, split):
    """Path of the first video of a split."""
    line = (root / f'kinetics400_{split}_list_videos.txt').read_text().splitlines()[0]
    return root / f'videos_{split}' / line.rsplit(' ', 1)[0]


options = partial(tiny_epochs, head='cls_head')


@pytest.fixture(scope='session')
def trained(tool, videos, tmp_path_factory):
    """The work dir and the output of a training."""
    folder = tmp_path_factory.mktemp('trained')
    done = tool('train', CONFIG, '--seed', 0, *options(videos), cwd=folder)
    return folder, done.stdout


@pytest.fixture(scope='session')
def checkpoint(trained):
    return trained[0] / 'work_dirs' / 'glore_mini' / 'epoch_2.pth'


def test_train_prints_its_config_and_progress(trained, checkpoint):
    _, output = trained
    first = output.splitlines()[0]
    assert first.startswith(f'config {CONFIG} | task video | device cpu')
    assert re.search(r'Epoch\(train\) +\[2\]\[2/4\].*eta: 0:00:\d\d.*loss: ', output)
    assert re.search(r'Epoch\(val\) \[2\].*acc/top1: [\d.]+  acc/mean1: [\d.]+', output)
    assert 'left out' not in output and 'paramwise' not in output
    assert checkpoint.is_file()


@pytest.mark.slow
def test_training_skips_a_damaged_clip(tool, videos, tmp_path):
    root = damaged(videos, tmp_path, 'train')
    done = tool('train', CONFIG, *options(root), cwd=tmp_path)
    lines = [
        x.split('WARNING - ')[1] for x in done.stdout.splitlines() if 'left o' in x
    ]
    assert lines[0].startswith(
        f'left out of training: {first(root, "train")}: truncated, '
    )
    assert lines[1:] == ['epoch 1 left out 1 sample(s)', 'epoch 2 left out 1 sample(s)']


@pytest.mark.slow
def test_mixed_precision(tool, trained, videos, tmp_path, losses):
    tool('train', CONFIG, '--amp', '--seed', 0, *options(videos), cwd=tmp_path)
    state = torch.load(tmp_path / 'work_dirs/glore_mini/epoch_2.pth', weights_only=True)
    assert state['state_dict']['cls_head.fc_cls.weight'].dtype == torch.float32
    full, mixed = losses(trained[0]), losses(tmp_path)
    assert mixed[0] != full[0] and mixed == pytest.approx(full, rel=0.05)


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (
            {'model.cls_head.num_classes': 5},
            'has 4 classes, but model.cls_head.num_classes is 5',
        ),
        (
            {'train_dataloader.batch_size': 32},
            'train_dataloader.dataset has 16 samples, but a batch takes 32',
        ),
        (
            {'load_from': 'released.pth'},
            'It has the parameter names of the GloRe release: convert it first',
        ),
    ],
)
def test_errors_before_training(change, message, tool, videos, tmp_path):
    torch.save(
        {'conv2.B01.conv_m1.bn.weight': torch.ones(4)}, tmp_path / 'released.pth'
    )
    changed = options(videos, **change)
    done = tool('train', CONFIG, *changed, cwd=tmp_path, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith('error: ') and message in done.stderr
    assert not (tmp_path / 'work_dirs').exists()


@pytest.mark.slow
def test_testing_stops_at_a_damaged_clip(tool, videos, checkpoint, tmp_path):
    root = damaged(videos, tmp_path, 'val')
    done = tool('test', CONFIG, checkpoint, *options(root), cwd=tmp_path, check=False)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith(
        f'error: {first(root, "val")}: PyAV cannot open it'
    )
    assert 'Traceback' not in done.stderr


def test_test_writes_scores_and_strips(tool, videos, checkpoint, tmp_path):
    more = ('--dump', 'scores.npz', '--show-dir', 'strips')
    done = tool('test', CONFIG, checkpoint, *more, *options(videos), cwd=tmp_path)
    top1, mean1 = map(
        float,
        re.search(r'acc/top1: ([\d.]+)  acc/mean1: ([\d.]+)', done.stdout).groups(),
    )
    with np.load(tmp_path / 'scores.npz') as arrays:
        scores, labels = arrays['scores'], arrays['labels']
        names, classes = arrays['names'].tolist(), arrays['classes'].tolist()
    assert classes == list(CLASSES) and scores.shape == (8, 4)
    assert names[0] == str(first(videos, 'val'))
    assert [Path(name).parent.name for name in names] == [CLASSES[i] for i in labels]
    np.testing.assert_allclose(scores.sum(axis=1), 1, atol=1e-5)
    right = scores.argmax(axis=1) == labels
    assert right.mean() == pytest.approx(top1, abs=1e-4)
    assert np.mean([right[labels == c].mean() for c in range(4)]) == pytest.approx(
        mean1, abs=1e-4
    )
    strips = sorted((tmp_path / 'strips').rglob('*.png'))
    folder = videos / 'videos_val'
    shown = (f'{Path(name).relative_to(folder)}.png' for name in names)
    assert strips == sorted(tmp_path / 'strips' / name for name in shown)
    picture = np.asarray(Image.open(strips[0]))
    assert picture.shape == (96 + 20, 8 * (96 + 3), 3)
    frames = picture[20:, :99].astype(int)
    assert (frames[..., 0] - frames[..., 2]).max() > 60  # the red disc, in its colour


@pytest.mark.slow
@pytest.mark.parametrize('multi_class', [False, True])
def test_a_data_set_of_mmaction(multi_class, tool, videos, checkpoint, tmp_path):
    metric = 'mean_average_precision' if multi_class else 'top_k_accuracy'
    (tmp_path / 'stock.py').write_text(
        f'_base_ = {str(CONFIG)!r}\n'
        'test_dataloader = dict(dataset=dict(\n'
        f"    _delete_=True, type='VideoDataset', multi_class={multi_class},\n"
        "    num_classes=4, ann_file='kinetics400_val_list_videos.txt',\n"
        "    data_root=_base_.data_root, data_prefix=dict(video='videos_val'),\n"
        '    pipeline=_base_.test_dataloader.dataset.pipeline,\n'
        f'    metainfo=dict(classes={CLASSES})))\n'
        f'test_evaluator = dict(metric_list={metric!r})\n'
    )
    more = ('--dump', 'scores.npz', '--show-dir', 'strips', *options(videos))
    tool('test', 'stock.py', checkpoint, *more, cwd=tmp_path)
    with np.load(tmp_path / 'scores.npz') as arrays:
        names, labels = arrays['names'].tolist(), arrays['labels']
    assert [Path(name).parent.name for name in names] == [CLASSES[i] for i in labels]
    assert len(list((tmp_path / 'strips').rglob('*.png'))) == 8


@pytest.mark.slow
def test_views_run(tool, videos, checkpoint, tmp_path):
    """Ten clips and crops of every video, from files, with the real Runner."""
    crop = dict(type='CenterCrop', crop_size=24)
    (tmp_path / 'views.py').write_text(
        f"_base_ = '{CONFIG}'\n"
        'pipeline = _base_.val_pipeline\n'
        f"pipeline[3] = dict(type='Resize', scale=(-1, 32))\n"
        f'pipeline.insert(4, {crop!r})\n'
        'test_dataloader = dict(dataset=dict(pipeline=pipeline))\n'
    )
    found = {}
    for views in ('1x1', '3x3', '2x5'):
        arguments = ['views.py', checkpoint, '--views', views, '--dump', 'scores.npz']
        tool('test', *arguments, *options(videos), cwd=tmp_path)
        with np.load(tmp_path / 'scores.npz') as arrays:
            found[views] = arrays['scores']
    assert all(scores.shape == (8, 4) for scores in found.values())
    assert np.abs(found['1x1'] - found['3x3']).max() > 1e-6
    assert np.abs(found['1x1'] - found['2x5']).max() > 1e-6

    done = tool(
        'test', 'views.py', checkpoint, '--views', '10', cwd=tmp_path, check=False
    )
    assert done.returncode == 2 and '--views must be such as 10x3' in done.stderr
    done = tool(
        'test',
        'views.py',
        checkpoint,
        '--submission-dir',
        'x',
        cwd=tmp_path,
        check=False,
    )
    assert 'error: --submission-dir: there is no submission format' in done.stderr


def test_infer(tool, videos, checkpoint, tmp_path):
    """Several containers, one with odd sides, one shorter than a clip."""
    source = first(videos, 'val')
    folder = tmp_path / 'my clips'
    folder.mkdir()
    shutil.copy(source, folder / f'a{source.suffix}')
    odd = folder / 'b.avi'
    writer = cv2.VideoWriter(str(odd), cv2.VideoWriter_fourcc(*'MJPG'), 12, (61, 47))
    for i in range(9):
        writer.write(np.full((47, 61, 3), 20 * i, np.uint8))
    writer.release()
    outputs = ('--out-dir', 'out', '--json', 'r.json', '--csv', 'r.csv', '--top-k', 2)
    arguments = [CONFIG, checkpoint, 'my clips', *outputs, *options(videos)]
    done = tool('infer', *arguments, cwd=tmp_path)
    records = json.loads((tmp_path / 'r.json').read_text())
    assert [Path(r['input']).name for r in records] == [f'a{source.suffix}', 'b.avi']
    for record, line in zip(records, done.stdout.splitlines()[1:], strict=True):
        first_class, second = record['classes']
        assert {first_class['label'], second['label']} < set(CLASSES)
        assert first_class['score'] >= second['score'] > 0
        assert line.startswith(
            f'{record["input"]}: {first_class["label"]} {first_class["score"]:.1%}, '
        )
    assert len((tmp_path / 'r.csv').read_text().splitlines()) == 1 + 4

    for name, size, length in (
        (f'a{source.suffix}'.removesuffix('.mp4') + '.mp4', None, None),
        ('b.avi.mp4', (60, 46), 9),
    ):
        with av.open(str(tmp_path / 'out' / name)) as video:
            rate = float(video.streams.video[0].average_rate)
            frames = [frame.to_image() for frame in video.decode(video=0)]
        if size:
            assert (frames[0].size, len(frames), rate) == (size, length, 12)
        top = np.asarray(frames[0])[: max(frames[0].height // 14, 8)]
        assert top.max() > 100 and np.median(top) < 40  # light text on a dark bar


@pytest.mark.parametrize(
    ('name', 'content', 'message'),
    [
        ('text.mp4', b'no video', 'text.mp4: PyAV cannot open it'),
        ('empty.mp4', b'', 'empty.mp4: empty (0 bytes)'),
    ],
)
def test_infer_reports_unreadable_files(
    name, content, message, tool, videos, checkpoint, tmp_path
):
    (tmp_path / name).write_bytes(content)
    arguments = [CONFIG, checkpoint, name, '--out-dir', 'out', *options(videos)]
    done = tool('infer', *arguments, cwd=tmp_path, check=False)
    assert done.returncode == 1
    lines = done.stderr.splitlines()
    assert lines[0].startswith(f'left out: {message}')
    assert lines[-1].startswith('error: 1 of 1 inputs could not be read, the first: ')
    assert not list((tmp_path / 'out').iterdir())


@pytest.mark.slow
def test_precise_bn_computes_the_statistics(tool, videos, tmp_path):
    """With mmpretrain's hook they are those of the training set, not of the start."""
    precise = "dict(type='mmpretrain.PreciseBNHook', num_samples=16, priority=30)"
    (tmp_path / 'precise.py').write_text(
        f"_base_ = '{CONFIG}'\n"
        "custom_imports = dict(imports=['glore_mm.video', 'mmpretrain.engine'])\n"
        f'custom_hooks = [*_base_.custom_hooks, {precise}]\n'
    )
    still = {'optim_wrapper.optimizer.lr': 0.0, 'train_cfg.max_epochs': 1}
    states = []
    for config in (CONFIG, 'precise.py'):
        tool(
            'train',
            config,
            '--seed',
            0,
            '--work-dir',
            'run',
            *options(videos, **still),
            cwd=tmp_path,
        )
        content = torch.load(tmp_path / 'run' / 'epoch_1.pth', weights_only=True)
        states.append(content['state_dict'])
    usual, precise = (s['backbone.conv1.bn.running_var'] for s in states)
    # after 4 batches, a running variance is a third of the way from 1
    assert ((usual - 1) / (precise - 1)).median() == pytest.approx(1 - 0.9**4, abs=0.1)


@pytest.mark.slow
def test_folders_of_frames(tool, videos, checkpoint, tmp_path):
    """The same clips as folders of images have almost the same scores."""
    root = tmp_path / 'frames'
    lines = (videos / 'kinetics400_val_list_videos.txt').read_text().splitlines()
    listed = []
    for path, label in (line.rsplit(' ', 1) for line in lines):
        folder = root / 'rawframes_val' / Path(path).with_suffix('')
        folder.mkdir(parents=True)
        with av.open(str(videos / 'videos_val' / path)) as video:
            for i, frame in enumerate(video.decode(video=0), start=1):
                frame.to_image().save(folder / f'img_{i:05d}.jpg', quality=98)
        listed.append(f'{Path(path).with_suffix("")} {i} {label}')
    (root / 'kinetics400_val_list_rawframes.txt').write_text('\r\n'.join(listed))
    shutil.copy(videos / 'label_map.txt', root)
    (tmp_path / 'frames.py').write_text(
        f"_base_ = '{CONFIG}'\n"
        'pipeline = _base_.val_pipeline[1:]\n'
        "pipeline[1] = dict(type='RawFramesDecode')\n"
        'test_dataloader = dict(dataset=dict(\n'
        "    type='KineticsFrames', pipeline=pipeline,\n"
        "    ann_file='kinetics400_val_list_rawframes.txt',\n"
        "    data_prefix=dict(_delete_=True, img='rawframes_val')))\n"
    )
    found = []
    for config, data in ((CONFIG, videos), ('frames.py', root)):
        dump = ('--dump', 'scores.npz')
        tool('test', config, checkpoint, *dump, *options(data), cwd=tmp_path)
        with np.load(tmp_path / 'scores.npz') as arrays:
            found.append(arrays['scores'])
    np.testing.assert_allclose(*found, atol=0.02)

    # each network takes videos and folders of frames
    for config, inputs in (
        (CONFIG, root / 'rawframes_val'),
        ('frames.py', videos / 'videos_val'),
    ):
        outputs = ('--json', 'r.json', '--out-dir', f'out of {inputs.name}')
        tool('infer', config, checkpoint, inputs, *outputs, *options(videos),
             cwd=tmp_path)  # fmt: skip
        records = json.loads((tmp_path / 'r.json').read_text())
        scores = {Path(r['input']).stem: r['classes'][0]['score'] for r in records}
        for (path, _), expected in zip(
            (line.rsplit(' ', 1) for line in lines), found[0].max(1), strict=True
        ):
            assert scores[Path(path).stem] == pytest.approx(expected, abs=0.02)
        assert len(list((tmp_path / outputs[-1]).rglob('*.mp4'))) == len(lines)


def test_get_flops(tool, tmp_path):
    configs = (CONFIGS / 'plain_mini.py', CONFIG)
    done = tool('get_flops', *configs, cwd=tmp_path)
    plain, glore = (
        [cell.strip() for cell in line.split('|')[2:-1]]
        for line in done.stdout.splitlines()[-2:]
    )
    assert plain[0] == glore[0] == '8×24×24' and plain[3] == '0'
    count = [int(row[1].replace(',', '')) for row in (plain, glore)]
    assert count[1] - count[0] == int(glore[3].replace(',', '')) > 0
    assert float(glore[2]) == pytest.approx(
        float(plain[2]) + float(glore[4]), abs=0.001
    )


def test_get_flops_needs_a_test_set(tool, tmp_path):
    base = CONFIGS.parent / '_base_' / 'video_runtime.py'
    done = tool('get_flops', base, cwd=tmp_path, check=False)
    assert done.returncode == 1 and 'Traceback' not in done.stderr
    assert 'test_dataloader.dataset must be a dict, found nothing' in done.stderr


def test_get_flops_needs_a_size(tool, tmp_path):
    config = tmp_path / 'frames_as_they_are.py'
    config.write_text(
        f"_base_ = '{CONFIGS}/glore_mini.py'\n"
        'test_dataloader = dict(dataset=dict(pipeline=[\n'
        "    dict(type='VideoInit'),\n"
        "    dict(type='StrictSampleFrames', clip_len=8, frame_interval=4)]))\n"
    )
    done = tool('get_flops', config, cwd=tmp_path, check=False)
    assert done.returncode == 1 and 'Traceback' not in done.stderr
    assert f'{config}: no step of test_dataloader.dataset.pipeline' in done.stderr


@pytest.mark.slow
def test_get_flops_of_an_order(tool, tmp_path):
    """The released R50 has 31.776 GMACs in the direct order."""
    config = CONFIGS / 'glore_r50_8x8_kinetics400.py'
    found = [
        tool('get_flops', config, *order, cwd=tmp_path).stdout.split('|')
        for order in ([], ['--order', 'direct'])
    ]
    assert float(found[0][-4]) < float(found[1][-4]) == 31.776
    assert float(found[0][-2]) < float(found[1][-2])
