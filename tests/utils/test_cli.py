"""How a tool ends, and what it prints."""

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
