"""What README and docs show does what they say: Python, configs, command lines."""

import contextlib
import functools
import io
import re
import runpy
import shlex
import sys
from pathlib import Path

import pytest
import torch
from mmengine.registry import MODELS, init_default_scope
from PIL import Image

import glore_mm.seg  # noqa: F401, registers mmseg's backbones
from glore_mm.analysis import units_of
from glore_mm.checkpoints import write_checkpoint
from glore_mm.engine import build_model, load_config
from glore_mm.engine.exporting import SUFFIXES, export

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / 'README.md', *sorted((ROOT / 'docs').glob('*.md'))]
_BLOCK = re.compile(r'^```(\S*)\n(.*?)^```$', re.MULTILINE | re.DOTALL)


def blocks(page: Path, language: str) -> list[str]:
    return [text for name, text in _BLOCK.findall(page.read_text()) if name == language]


def named(pages):
    return [pytest.param(page, id=page.stem) for page in pages]


@pytest.mark.parametrize('page', named(p for p in PAGES if blocks(p, 'python')))
def test_python(page, tmp_path, monkeypatch):
    """The scripts of a page, one after the other, as they are read."""
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    if page.stem == 'export':
        write_exported()
    variables = {}
    for text in blocks(page, 'python'):
        if '_base_' in text:
            config(text, page)
        else:
            with contextlib.redirect_stdout(io.StringIO()):
                exec(compile(text, f'{page.name}: {text[:40]!r}', 'exec'), variables)
            if 'custom_imports' in text:  # a part of a config
                init_default_scope('mmseg')
                assert units_of(MODELS.build(variables['model']['backbone']))


def write_exported() -> None:
    """The files that the page on exports reads."""
    cfg = load_config('glore_mm::cls/glore_mini.py', dict(classes=list('abcdefghij')))
    write_checkpoint(dict(state_dict=build_model(cfg).state_dict()), 'net.pth')
    for kind in SUFFIXES:
        export(cfg, 'net.pth', kind)
    Image.new('RGB', (96, 96)).save('image.png')


def config(text: str, page: Path) -> None:
    """Load and build a config of a page, which stands where the page says it does."""
    folder = ROOT / 'configs' / 'ablation' if "_base_ = '../" in text else Path()
    file = folder / f'from_{page.stem}.py'
    file.write_text(text)
    try:
        cfg = load_config(str(file))
    finally:
        file.unlink()
    units = units_of(build_model(cfg))
    assert units or 'variants' in text, text


@functools.cache
def help_of(tool: str) -> str:
    told = io.StringIO()
    with (
        pytest.MonkeyPatch.context() as patch,
        contextlib.redirect_stdout(told),
        pytest.raises(SystemExit),
    ):
        patch.setattr(sys, 'argv', [tool, '--help'])
        patch.syspath_prepend((ROOT / tool).parent)
        runpy.run_path(str(ROOT / tool), run_name='__main__')
    return told.getvalue()


def command_lines(page: Path) -> list[list[str]]:
    """The words of each command that is ours, without what it is commented with."""
    text = '\n'.join(blocks(page, '')).replace('\\\n', ' ')
    lines = [shlex.split(line, comments=True) for line in text.splitlines()
             if re.match(r'(python |tools/|glore-)', line)]  # fmt: skip
    return [line[line[0] == 'python' :] for line in lines]


@pytest.mark.parametrize('page', named(p for p in PAGES if command_lines(p)))
def test_commands(page):
    """Tools, configs and options that a page names are there."""
    for tool, *words in command_lines(page):
        if tool.startswith('glore-'):
            tool = f'tools/{tool.removeprefix("glore-")}.py'
        if tool in ('-m', '-c'):
            continue
        assert (ROOT / tool).is_file(), tool
        for word in words:
            name = word.replace('glore_mm::', 'configs/')
            if re.fullmatch(r'configs/[\w/*.-]+\.py', name):
                assert list(ROOT.glob(name)), word
        options = {word for word in words if re.match(r'--[a-z]', word)}
        program = re.sub(r'(dist|slurm)_(\w+)\.sh', r'\2.py', tool)
        for option in options:
            assert option in help_of(program), f'{tool} {option}'
