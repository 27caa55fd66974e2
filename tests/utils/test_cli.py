"""How a tool ends, and what it prints."""

import os
import pty
import subprocess
import sys

import pytest
from paths import ROOT
from processes import python


def test_characters_that_an_output_cannot_encode_are_escaped():
    code = (
        'from glore_mm.utils.cli import cli_entry_point\n'
        'cli_entry_point(lambda: print("7×8 → 图"))()'
    )
    assert python('-c', code, PYTHONIOENCODING='ascii') == ('7\\xd78 \\u2192 \\u56fe\n')


TOOLS = {*(ROOT / 'tools').glob('*.py')} - {ROOT / 'tools/launch.py'}  # torchrun's help


@pytest.mark.parametrize('tool', sorted(TOOLS), ids=lambda path: path.stem)
def test_help_begins_with_an_example_and_does_not_import_torch(tool):
    code = (
        'import runpy, sys\n'
        f'sys.argv = [{str(tool)!r}, "--help"]\n'
        'try:\n'
        f'    runpy.run_path({str(tool)!r}, run_name="__main__")\n'
        'except SystemExit:\n'
        '    print("torch" in sys.modules)'
    )
    printed = python('-c', code)
    example, _, rest = printed.partition('\nusage: ')
    assert f'python tools/{tool.name} ' in example
    assert rest.endswith('\nFalse\n')


def test_a_terminal_shows_that_packages_are_loaded(tmp_path):
    command = [sys.executable, ROOT / 'tools/train.py', 'no_such_config.py']
    terminal, end = pty.openpty()
    subprocess.run(command, stdout=end, stderr=end, cwd=tmp_path)
    os.close(end)
    lines = os.read(terminal, 4096).decode().splitlines()
    os.close(terminal)
    assert lines[0] == 'loading PyTorch and OpenMMLab'
    assert lines[-1].startswith('error: no config at no_such_config.py')
    piped = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert piped.stderr.startswith('error: no config at')
