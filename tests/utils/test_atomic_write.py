"""Files that are written atomically."""

import os

from glore_mm.utils.atomic_write import write_csv


def test_csv_with_a_name_that_is_not_utf8(tmp_path):
    name = os.fsdecode(b'caf\xe9.jpg')
    write_csv(str(tmp_path / 'out.csv'), ['input'], [dict(input=name)])
    assert (tmp_path / 'out.csv').read_bytes() == b'input\r\ncaf\xe9.jpg\r\n'
