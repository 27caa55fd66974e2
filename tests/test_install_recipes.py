"""Tools and inferencers of the libraries, with the plugin in a user's config."""

import os
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
from paths import ROOT

#: Code that runs a checkpoint on a file, for each library; prints a class or a size.
INFERENCERS = dict(
    mmseg="""
import glore_mm  # first, where mmcv is mmcv-lite
from mmseg.apis import MMSegInferencer
inferencer = MMSegInferencer(CONFIG, CHECKPOINT, device='cpu')
print('found', inferencer(FILE)['predictions'].shape)
""",
    mmpretrain="""
from mmpretrain import ImageClassificationInferencer
inferencer = ImageClassificationInferencer(CONFIG, CHECKPOINT, device='cpu')
print('found', inferencer(FILE)[0]['pred_label'])
""",
    mmaction="""
from mmaction.apis.inferencers import ActionRecogInferencer
inferencer = ActionRecogInferencer(CONFIG, CHECKPOINT, device='cpu')
print('found', inferencer(FILE)['predictions'][0]['pred_labels'][0])
""",
)
FILES = dict(
    mmseg='leftImg8bit/val/*/*.png', mmpretrain='val/*/*', mmaction='videos_val/*/*.*'
)


def run(*command: object, cwd: Path) -> str:
    done = subprocess.run(
        [sys.executable, *map(str, command)],
        cwd=cwd,
        env=dict(os.environ, OMP_NUM_THREADS='1', CUDA_VISIBLE_DEVICES=''),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.slow
@pytest.mark.parametrize('library', INFERENCERS)
def test_tools_of_the_library(library, small_data, tmp_path):
    task = dict(mmseg='seg', mmpretrain='cls', mmaction='video')[library]
    root = small_data[task]
    where = f'dataset=dict(data_root={str(root)!r})'
    (tmp_path / 'mine.py').write_text(
        f"_base_ = '{ROOT}/configs/{task}/glore_mini.py'\n"
        f'train_dataloader = dict(batch_size=4, {where})\n'
        f'val_dataloader = dict({where})\n'
        'test_dataloader = val_dataloader\n'
        + (
            'train_cfg = dict(max_iters=2, val_interval=2)\n'
            'default_hooks = dict(checkpoint=dict(interval=2))\n'
            if task == 'seg'
            else 'train_cfg = dict(max_epochs=1, val_interval=1)\n'
            'default_hooks = dict(checkpoint=dict(interval=1))\n'
        )
    )
    tools = Path(find_spec(library).origin).parent / '.mim' / 'tools'
    run(tools / 'train.py', 'mine.py', '--work-dir', 'run', cwd=tmp_path)
    checkpoint = tmp_path / 'run' / ('iter_2.pth' if task == 'seg' else 'epoch_1.pth')
    tested = run(tools / 'test.py', 'mine.py', checkpoint, cwd=tmp_path)
    assert dict(seg='mIoU', cls='accuracy/top1', video='acc/top1')[task] in tested
    names = dict(
        CONFIG='mine.py',
        CHECKPOINT=str(checkpoint),
        FILE=str(next(root.glob(FILES[library]))),
    )
    script = INFERENCERS[library]
    for name, value in names.items():
        script = script.replace(name, repr(value))
    (found,) = re.findall(r'found (.*)', run('-c', script, cwd=tmp_path))
    assert re.fullmatch(r'\(48, 96\)' if task == 'seg' else r'\d', found)
