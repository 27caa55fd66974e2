"""Train, test and infer in each task with the installed commands.

`make matrix` runs this in each environment, together with the tests of the units.
"""

import os
import subprocess
import sysconfig
from pathlib import Path

import pytest

FILES = dict(seg='leftImg8bit/val/*/*.png', cls='val/*/*', video='videos_val/*/*.*')
SHORT = dict(seg='max_iters=2', cls='max_epochs=1', video='max_epochs=1')


@pytest.mark.slow
@pytest.mark.parametrize('task', FILES)
def test_commands(task, small_data, tmp_path):
    def run(name: str, *arguments: object) -> str:
        command = Path(sysconfig.get_path('scripts'), f'glore-{name}')
        done = subprocess.run(
            [command, f'glore_mm::{task}/glore_mini.py', *map(str, arguments),
             '--cfg-options', f'data_root={small_data[task]}',
             f'train_cfg.{SHORT[task]}', 'train_dataloader.batch_size=4'],
            cwd=tmp_path,
            env=dict(os.environ, OMP_NUM_THREADS='1', CUDA_VISIBLE_DEVICES=''),
            capture_output=True,
            text=True,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    run('train', '--work-dir', 'run')
    (checkpoint,) = (tmp_path / 'run').glob('*_[12].pth')
    assert dict(seg='mIoU', cls='top1', video='top1')[task] in run('test', checkpoint)
    file = next(small_data[task].glob(FILES[task]))
    assert str(file) in run('infer', checkpoint, file, '--out-dir', 'out')
    assert list((tmp_path / 'out').iterdir())
