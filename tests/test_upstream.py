"""scripts/upstream.py with a suite of a few tests."""

import os

import pytest
from paths import ROOT
from processes import python, write

SUITE = """
    import os, sys, urllib.error
    import mmengine, pytest

    def test_imports():
        assert ('glore_mm' in sys.modules) == bool(os.environ['WITH'])
        assert not os.path.exists('mmengine/tests') and os.path.exists('configs/a.py')

    def test_network():
        raise urllib.error.URLError('no such name')

    def test_package():
        import surely_missing

    def test_fault():
        assert mmengine.__version__ == 'another'

    @pytest.fixture
    def broken():
        assert 0

    def test_error(broken):
        pass

    @pytest.mark.skip
    def test_skipped():
        pass

    def test_hangs():
        while not os.environ['WITH']:
            pass
"""


@pytest.mark.slow
def test_failures_are_sorted(tmp_path):
    write(tmp_path / 'tests/test_some.py', SUITE)
    write(tmp_path / 'tests/data/test_data.py', '1 / 0')
    write(tmp_path / 'configs/a.py')
    write(tmp_path / 'mmengine/__init__.py', 'raise ImportError')
    script = (ROOT / 'scripts/upstream.py', 'mmengine', tmp_path)
    before = sorted(os.walk(tmp_path))
    printed = python(*script, WITH='yes')
    assert '| mmengine | 2 | 3 | 1 | 1 |' in printed
    assert 'A fault: 2\n- test_some.test_error: failed on setup' in printed
    assert "- test_some.test_fault: AssertionError: assert '0." in printed
    assert 'An optional package: 1\n- test_some.test_package: ModuleNot' in printed
    assert 'The network: 1\n- test_some.test_network: urllib.error.URLEr' in printed
    printed = python(*script, '--without', '--limit', 2, WITH='')
    assert '| mmengine without | 1 | 3 | 2 | 1 |' in printed
    assert 'It hung, or ended the process: 1\n- test_some.test_hangs' in printed
    assert sorted(os.walk(tmp_path)) == before
