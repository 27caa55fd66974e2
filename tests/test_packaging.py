"""What an installed package brings, and what importing it costs."""

import re
import shutil
import subprocess
import sys
import zipfile
from importlib.metadata import requires
from pathlib import Path

ROOT = Path(__file__).parent.parent


def test_found_from_anywhere(tmp_path):
    """A user's own config, in a folder of their own, with ours as its base."""
    (tmp_path / 'mine.py').write_text(
        "_base_ = 'glore_mm::seg/glore_cityscapes.py'\n"
        'model = dict(decode_head=dict(num_units=2))\n'
    )
    script = (
        'import glore_mm\n'
        'from mmengine.config import Config\n'
        "cfg = Config.fromfile('mine.py')\n"
        'print(cfg.model.decode_head.type, cfg.model.decode_head.num_units)\n'
    )
    done = subprocess.run(
        [sys.executable, '-c', script], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.stdout.split() == ['GloReHead', '2'], done.stderr


def test_importing_glore_mm_imports_no_task_library():
    script = (
        'import sys, torch, mmengine, glore_mm\n'
        'from mmengine.registry import MODELS\n'
        "assert MODELS.get('GloRe2d') is glore_mm.GloRe2d\n"
        "assert MODELS.get('WithGloRe') is glore_mm.WithGloRe\n"
        'heavy = {"mmcv", "mmseg", "mmpretrain", "mmaction", "timm", "torchvision"}\n'
        'print(sorted(heavy & set(sys.modules)))\n'
    )
    done = subprocess.run(
        [sys.executable, '-c', script], capture_output=True, text=True
    )
    assert done.stdout.strip() == '[]', done.stdout + done.stderr


def test_configs_and_pages_ship_in_the_wheel(tmp_path):
    source = tmp_path / 'source'  # what an earlier build left here would be packed too
    ignored = shutil.ignore_patterns(
        '.venv', 'build', '*.egg-info', 'data', 'work_dirs'
    )
    shutil.copytree(ROOT, source, symlinks=True, ignore=ignored)
    subprocess.run(
        [sys.executable, '-m', 'build', '--wheel', '--outdir', tmp_path, source],
        check=True,
        capture_output=True,
    )
    (wheel,) = tmp_path.glob('*.whl')
    names = zipfile.ZipFile(wheel).namelist()
    assert 'glore_mm/.mim/model-index.yml' in names
    for path in (*(ROOT / 'configs').rglob('*.py'), *(ROOT / 'configs').rglob('*.yml')):
        assert f'glore_mm/.mim/{path.relative_to(ROOT)}' in names
    pages = ROOT / 'glore_mm' / 'pages'
    for path in (*pages.glob('templates/*'), *pages.glob('vendor/*')):
        assert str(path.relative_to(ROOT)) in names
    assert not [name for name in names if name.startswith(('tests', 'tools', 'docs'))]


def test_only_all_brings_an_mmcv():
    """Any other extra would write over the full mmcv that a user has."""
    mmcv = [line for line in requires('glore-mm') if line.startswith('mmcv')]
    assert [re.sub(r'\s', '', line) for line in mmcv] == [
        'mmcv-lite==2.1.0;extra=="all"'
    ]
    bare = [line for line in requires('glore-mm') if 'extra' not in line]
    names = sorted(re.match(r'\w+', line)[0] for line in bare)
    assert names == [
        'filelock',
        'jinja2',
        'mmengine',
        'networkx',
        'safetensors',
        'torch',
    ]
