"""How a tool ends, and what it prints to."""

from processes import python


def test_what_an_output_cannot_encode_is_escaped():
    code = (
        'from glore_mm.utils.cli import cli_entry_point\n'
        'cli_entry_point(lambda: print("7×8 → 图"))()'
    )
    assert python('-c', code, PYTHONIOENCODING='ascii') == ('7\\xd78 \\u2192 \\u56fe\n')
