"""The demos, with less training."""

import re

import pytest
from PIL import Image

from glore_mm.synthetic.mini_imagenet import write_mini_imagenet

ITERATIONS = (
    'train_cfg.max_iters=2',
    'train_cfg.val_interval=2',
    'default_hooks.checkpoint.interval=2',
)
EPOCHS = (
    'train_cfg.max_epochs=1',
    'train_cfg.val_interval=1',
    'default_hooks.checkpoint.interval=1',
    'train_dataloader.dataset.indices=32',
)


def check(done, folder, name, score):
    """Both networks are in the table, and the files that the demo names exist."""
    rows = [line for line in done.stdout.splitlines() if line.startswith('|')]
    header, plain, glore = ([c.strip() for c in row.split('|')[1:-1]] for row in rows)
    assert header[0] == 'network' and header[-3:-1] == ['parameters', 'GMACs']
    assert f'{score}, %' in header
    assert glore[0] == f'{plain[0]} + GloRe'
    assert int(glore[-3].replace(',', '')) > int(plain[-3].replace(',', ''))
    assert float(glore[-2]) >= float(plain[-2])
    for network in plain[0], glore[0]:
        assert re.search(rf'{re.escape(network)}: iteration \d+ of', done.stdout)
    (page,) = re.findall(r'^nodes, .*: (\S+\.html)$', done.stdout, re.MULTILINE)
    assert (folder / page).read_text().startswith('<!doctype html>')
    assert 'Epoch(train)' not in done.stdout + done.stderr  # mmengine's log is off
    return Image.open(folder / 'work_dirs' / f'demo_{name}.png')


@pytest.mark.slow
def test_long_range(tool, tmp_path):
    done = tool('demo', 'long_range', '--cfg-options', *ITERATIONS, cwd=tmp_path)
    picture = check(done, tmp_path, 'long_range', 'without the cue')
    assert picture.size == (2 * 640 + 16, 5 * (64 + 26) + 4 * 6)
    assert ' 0:00 left\n' in done.stdout


@pytest.mark.slow
def test_segmentation(tool, tmp_path):
    done = tool('demo', 'seg', '--cfg-options', *ITERATIONS, cwd=tmp_path)
    picture = check(done, tmp_path, 'seg', 'mIoU')
    assert picture.size == (4 * 256, 3 * (128 + 16))
    for name in ('fcn_mini', 'glore_mini'):  # a log of each
        assert list((tmp_path / 'work_dirs' / name).glob('*/vis_data/scalars.json'))


@pytest.mark.slow
def test_classification(tool, tmp_path):
    write_mini_imagenet(tmp_path / 'data' / 'mini_imagenet', 2000, 200, scale=0.4)
    done = tool('demo', 'cls', '--cfg-options', *EPOCHS, cwd=tmp_path)
    assert check(done, tmp_path, 'cls', 'top-1').width > 500


@pytest.mark.slow
def test_video(tool, tmp_path):
    fewer = (*EPOCHS, 'train_dataloader.batch_size=8')
    done = tool('demo', 'video', '--cfg-options', *fewer, cwd=tmp_path)
    picture = check(done, tmp_path, 'video', 'top-1')
    assert picture.width > 8 * 96 and picture.height == 4 * (96 + 20)


def test_a_place_that_is_taken(tool, tmp_path):
    (tmp_path / 'data/long_range_strips').mkdir(parents=True)
    (tmp_path / 'data/long_range_strips/notes.txt').write_text('mine')
    done = tool('demo', 'long_range', cwd=tmp_path, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith('error: ') and 'long_range_strips' in done.stderr
