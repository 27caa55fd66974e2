"""The content of an installed package, and the cost of its import."""

import re
import shutil
import subprocess
import sys
import sysconfig
import venv
import zipfile
from importlib.metadata import requires
from pathlib import Path

import pytest
from paths import ROOT


def test_found_from_anywhere(tmp_path):
    """A user's config in a folder of their own, with one of ours as its base."""
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
        "assert issubclass(MODELS.get('GloRe2d'), glore_mm.GloRe2d)\n"
        "assert MODELS.get('WithGloRe') is glore_mm.WithGloRe\n"
        'heavy = {"mmcv", "mmseg", "mmpretrain", "mmaction", "timm", "torchvision"}\n'
        'print(sorted(heavy & set(sys.modules)))\n'
    )
    done = subprocess.run(
        [sys.executable, '-c', script], capture_output=True, text=True
    )
    assert done.stdout.strip() == '[]', done.stdout + done.stderr


def test_without_docstrings(tmp_path):
    """As with `python -OO`, or with PYTHONOPTIMIZE in an image."""
    script = (
        'import sys, glore_mm\n'
        'from glore_mm.commands.train import main\n'
        'glore_mm.GloRe2d(4)\n'
        'sys.argv = ["glore-train", "--help"]\n'
        'main()\n'
    )
    done = subprocess.run(
        [sys.executable, '-OO', '-c', script],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.stdout.startswith('usage: glore-train'), done.stderr


# An environment with torch, its requirements, and this package.
TORCH_ONLY = """
import importlib.metadata as metadata, re, sys

def requirements(name):
    yield name
    for line in metadata.requires(name) or ():
        required = re.match(r'[\\w.-]+', line)[0].lower()
        if ';' not in line and required.replace('-', '_') in installed:
            yield from requirements(required)

def normal(name):
    return name.lower().replace('-', '_')

installed = {normal(found.metadata['Name']) for found in metadata.distributions()}
there = {normal(name) for name in requirements('torch')} | {'glore_mm', 'setuptools'}
hidden = {
    module
    for module, owners in metadata.packages_distributions().items()
    if not there & set(map(normal, owners))
}

def visible(find_spec):
    return lambda name, *more: None if name in hidden else find_spec(name, *more)

for finder in sys.meta_path:
    finder.find_spec = visible(finder.find_spec)
"""


def run_with_torch_only(script, *options):
    return subprocess.run(
        [sys.executable, *options, '-c', TORCH_ONLY + script],
        capture_output=True,
        text=True,
    )


def test_the_units_need_torch_only():
    done = run_with_torch_only(
        'import torch\n'
        'before = set(sys.modules)\n'
        'from glore_mm import GloRe2d, insert_glore\n'
        'net = insert_glore(torch.nn.Sequential(torch.nn.Conv2d(3, 8, 1)), ["0"])\n'
        'net(torch.randn(2, 3, 8, 8)).sum().backward()\n'
        'new = {name.partition(".")[0] for name in set(sys.modules) - before}\n'
        'print(sorted(new - set(sys.stdlib_module_names) - {"torch"}))\n'
    )
    assert done.stdout.strip() == "['glore_mm']", done.stdout + done.stderr


@pytest.mark.parametrize('command', ['train', 'test', 'infer'])
def test_a_command_names_the_extras_to_install(command):
    done = run_with_torch_only(f'import glore_mm.commands.{command}')
    assert done.returncode == 1
    line = done.stderr.splitlines()[-1]  # torch prints a warning that NumPy is missing
    assert line.startswith("error: this needs OpenMMLab: pip install 'glore-mm[seg]'")


@pytest.mark.parametrize('package', ['engine', 'analysis', 'checkpoints'])
def test_a_subpackage_names_the_extras_to_install(package):
    done = run_with_torch_only(f'import glore_mm.{package}')
    line = done.stderr.splitlines()[-1]
    assert line.startswith('ModuleNotFoundError: this needs OpenMMLab: pip install ')


@pytest.fixture(scope='session')
def wheel(tmp_path_factory) -> Path:
    """The wheel of the package."""
    folder = tmp_path_factory.mktemp('wheel')
    source = folder / 'source'  # without files of an older build
    ignored = shutil.ignore_patterns(
        '.venv', 'build', '*.egg-info', 'data', 'work_dirs'
    )
    shutil.copytree(ROOT, source, symlinks=True, ignore=ignored)
    subprocess.run(
        [sys.executable, '-m', 'build', '--wheel', '--outdir', folder, source],
        check=True,
        capture_output=True,
    )
    return next(folder.glob('*.whl'))


def test_configs_and_pages_ship_in_the_wheel(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    assert {'glore_mm/.mim/model-index.yml', 'glore_mm/py.typed'} < set(names)
    for path in (*(ROOT / 'configs').rglob('*.py'), *(ROOT / 'configs').rglob('*.yml')):
        assert f'glore_mm/.mim/{path.relative_to(ROOT)}' in names
    pages = ROOT / 'glore_mm' / 'pages'
    for path in (*pages.glob('templates/*'), *pages.glob('vendor/*')):
        assert str(path.relative_to(ROOT)) in names
    assert not [name for name in names if name.startswith(('tests', 'tools', 'docs'))]


@pytest.mark.slow
def test_without_the_repository(wheel, tmp_path):
    """Train, test and infer with the wheel's commands and configs."""
    venv.create(tmp_path / 'venv', with_pip=True)
    commands = tmp_path / 'venv' / 'bin'
    libraries = Path(sysconfig.get_path('purelib'))  # the installed dependencies
    own = next((tmp_path / 'venv').glob('lib/*/site-packages'))
    (own / 'dependencies.pth').write_text(f'{libraries}\n')

    def run(*arguments: object) -> str:
        done = subprocess.run(
            [commands / 'python', *map(str, arguments)],
            cwd=tmp_path,
            env=dict(HOME=str(tmp_path), PATH=str(commands)),
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    run('-m', 'pip', 'install', '--no-deps', wheel)
    where = run('-c', 'import glore_mm; print(glore_mm.__file__)')
    assert where.startswith(str(own))
    smoke = ROOT / 'tests' / 'test_smoke.py'
    assert '1 passed' in run(
        '-m', 'pytest', '-p', 'no:cacheprovider', smoke, '-k', 'seg'
    )


def test_only_the_extra_all_has_an_mmcv():
    """Others would overwrite a full mmcv that a user has installed."""
    mmcv = [line for line in requires('glore-mm') if line.startswith('mmcv')]
    assert [re.sub(r'\s', '', line) for line in mmcv] == [
        'mmcv-lite==2.1.0;extra=="all"'
    ]
    bare = [line for line in requires('glore-mm') if 'extra' not in line]
    assert [re.match(r'\w+', line)[0] for line in bare] == ['torch']
