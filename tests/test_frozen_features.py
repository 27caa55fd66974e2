"""scripts/frozen_features.py on a few scenes."""

import json

import pytest
from paths import ROOT
from processes import python


@pytest.mark.slow
def test_runs_are_written_and_kept(mini, tmp_path):
    script = (ROOT / 'scripts/frozen_features.py', mini, tmp_path)
    names = ('none', 'wider', 'glore_16', 'non_local')
    options = ('--levels', 'stride8', '--modules', *names, '--iters', 2)
    printed = python(*script, *options, '--seeds', 2)
    runs = json.loads((tmp_path / 'runs/stride8.json').read_text())
    assert [(run['variant'], run['seed']) for run in runs] == [
        (name, seed) for seed in (0, 1) for name in names
    ]
    assert printed.count('mIoU') == 8
    none, wider, glore, non_local = (run['macs'] for run in runs[:4])
    assert none < glore < wider  # it has the operations of 32 nodes
    places = none // (40 * 64 + 64 * 11)  # 40 features, 64 channels, 11 classes
    # four 1×1 convolutions; two products with a quarter of the keys
    assert non_local - none == 4 * places * 64 * 32 + 2 * places * (places // 4) * 32
    table = (tmp_path / 'table.md').read_text()
    assert 'glore_16 | 2 |' in table and 'excludes a gain of 0.5 points for' in table
    assert '### stride8, minus the wider head' in table and '| minus wider |' in table
    assert (tmp_path / 'plot.png').stat().st_size
    assert 'mIoU' not in python(*script, *options, '--seeds', 1)
    assert json.loads((tmp_path / 'runs/stride8.json').read_text()) == runs
    with pytest.raises(AssertionError, match='has runs of 2 iterations, .*, not of 3'):
        python(*script, *options[:-1], 3, '--seeds', 2)
