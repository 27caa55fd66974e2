"""The benchmarks: what they compare, and that they run."""

import json
import subprocess
import sys

import pytest
import torch
from equations import double, error, randomize, transcription
from mmengine.registry import init_default_scope
from paths import ROOT

from glore_mm.insertion import find_units

BENCHMARKS = ROOT / 'benchmarks'
sys.path.insert(0, str(BENCHMARKS))

import heads  # noqa: E402
import networks  # noqa: E402
from reference import ReferenceGloRe  # noqa: E402
from unit import PRODUCTS  # noqa: E402


@pytest.mark.parametrize('training', [False, True])
@pytest.mark.parametrize('normalize', [False, True])
@pytest.mark.parametrize(('dim', 'size'), [(2, (7, 6)), (3, (3, 4, 5))])
def test_the_reference_equals_the_released_unit(dim, size, normalize, training):
    torch.manual_seed(0)
    unit = randomize(ReferenceGloRe(dim, 16, 10, 6, normalize)).double()
    x = torch.randn(2, 16, *size, dtype=torch.float64)
    expected = transcription(
        double(unit.state_dict()), x, normalize, pre_act=False, training=training
    )
    assert error(unit.train(training)(x).detach() - x, expected) < 1e-12


@pytest.mark.parametrize('name', heads.HEADS)
def test_heads_and_their_blocks(name, monkeypatch):
    """A block is the part of a head between its convolutions, not the whole head."""
    init_default_scope('mmseg')
    monkeypatch.setattr(heads, 'SIZE', (16, 16))
    whole, maps = heads.network('whole head', name)
    assert all(x.shape[2:] == (16, 16) for x in maps)
    with torch.no_grad():
        scores = whole.eval()(*maps)
    scores = scores[0] if isinstance(scores, tuple) else scores
    assert scores.shape == (heads.BATCH, 19, 16, 16)
    block = heads.network('block alone', name)
    if name == 'FCN':
        assert block is None
        return
    part, inputs = block
    sizes = [sum(p.numel() for p in net.parameters()) for net in (part, whole)]
    assert sizes[0] < 0.6 * sizes[1]
    with torch.no_grad():
        part.eval()(*inputs)


@pytest.mark.parametrize(
    ('place', 'name'),
    [
        (place, name)
        for place, (_, paths) in networks.NETWORKS.items()
        for name in paths
    ],
)
def test_networks_are_those_of_the_configs(place, name):
    batch, paths = networks.NETWORKS[place]
    network, x = networks.build(paths[name], batch)
    assert len(x) == batch
    assert sum(p.numel() for p in network.parameters()) > 25e6
    assert bool(find_units(network)) == ('GloRe' in name)


@pytest.mark.slow
def test_the_unit_benchmark(tmp_path):
    command = [sys.executable, BENCHMARKS / 'unit.py', '--rounds=2', '--out', tmp_path]
    command += ['--only', '14×14, batch 8']
    subprocess.run(command, check=True)
    rows = json.loads((tmp_path / 'unit.json').read_text())['rows']
    found = {(row['name'], row['mode']): row for row in rows}
    assert len(found) == len(rows) == 2 * 7
    for mode in ('inference', 'training'):
        assert found['GloRe, as released', mode]['ratio'] == 1
        ours = found['GloRe, ours', mode]
        assert ours['macs'] == found['GloRe, as released', mode]['macs'] > 3e9
        assert ours['ms'] > 0 < ours['peak_mb']
        assert ours['per_products'] == ours['ms'] / found[PRODUCTS, mode]['ms']
    assert found['GloRe, ours', 'training']['kept_mb'] > 20
    assert 'GloRe, ours' in (tmp_path / 'unit.md').read_text()
    assert (tmp_path / 'unit.png').stat().st_size > 10_000


@pytest.mark.slow
def test_out_of_memory_is_reported(tmp_path):
    command = [sys.executable, BENCHMARKS / 'unit.py', '--rounds=2', '--memory=2']
    command += ['--point', 'Non-local (mmcv)', '181']
    ran = subprocess.run(command, check=True, capture_output=True, text=True)
    assert json.loads(ran.stdout) == dict(failed='out of memory')
    command[-1] = '32'
    ran = subprocess.run(command, check=True, capture_output=True, text=True)
    assert json.loads(ran.stdout)['ms'] > 0


@pytest.mark.slow
def test_large_images(tmp_path):
    command = [sys.executable, BENCHMARKS / 'large_images.py', '--sizes', '1024']
    options = ['--modes', 'slide', 'global_slide', '--threads', '1', '--out', tmp_path]
    done = subprocess.run([*command, *options], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    rows = json.loads((tmp_path / 'large_images.json').read_text())['rows']
    slide, shared = rows
    assert (slide['size'], slide['exit'], shared['exit']) == (1024, 0, 0)
    assert 0 < slide['mib'] < 1000
