"""Runs with several processes: the same results as with one, and a common end."""

import os
import re
import runpy
import signal
import time

import numpy as np
import pytest
import soak
from processes import of_rank
from torch.distributed.elastic.multiprocessing.api import SignalException

CONFIG = soak.ROOT / 'configs' / 'seg' / 'glore_mini.py'

pytestmark = pytest.mark.slow


def test_one_two_and_four_processes_give_the_same_training(tmp_path):
    """With norms that do not depend on the split, and without dropout, which does."""
    config = soak.prepare(tmp_path, soak.Scenario('', 'iterations', 20))
    heads = ('model.decode_head', 'model.auxiliary_head')
    alike = [f'{head}.dropout_ratio=0' for head in heads]
    curves, figures = [], []
    for processes in (1, 2, 4):
        share = f'train_dataloader.batch_size={4 // processes}'
        options = ('--cfg-options', share, *alike)
        run = soak.launch(tmp_path, config, f'of_{processes}', processes, *options)
        assert run.wait() == 0, (tmp_path / f'of_{processes}.log').read_text()
        losses = soak.logged(tmp_path / f'of_{processes}')
        curves.append([loss for step in range(1, 21) for loss in losses[step]])
        figures.append(soak.logged(tmp_path / f'of_{processes}', 'mIoU')[20])
    assert curves[0][-1] < 0.98 * curves[0][0]  # the loss decreases
    np.testing.assert_allclose(curves[1], curves[0], rtol=2e-6)
    np.testing.assert_allclose(curves[2], curves[0], rtol=2e-6)
    assert figures[1] == figures[2] == figures[0]


@pytest.mark.parametrize('images', [1, 3])
def test_every_sample_of_a_test_counts_once(images, tool, tmp_path):
    """Even if the processes do not have the same number of samples."""
    config = soak.prepare(tmp_path, soak.Scenario('', 'iterations', 4), images)
    assert soak.launch(tmp_path, config, 'run').wait() == 0
    saved = 'run/iter_4.pth'
    said = [
        tool('test', config, saved, '--dump', '1.npz', cwd=tmp_path),
        tool('dist_test.sh', config, saved, 2, '--dump', '2.npz', cwd=tmp_path),
    ]
    figure = [done.stdout.rpartition('mIoU: ')[2].split()[0] for done in said]
    assert figure[0] == figure[1]
    with np.load(tmp_path / '1.npz') as one, np.load(tmp_path / '2.npz') as two:
        assert one['names'].tolist() == two['names'].tolist()
        np.testing.assert_array_equal(one['confusion'], two['confusion'])


@pytest.mark.parametrize(('script', 'code'), [('train.py', 75), ('test.py', 143)])
def test_the_launcher_reports_whether_a_run_can_be_resumed(script, code, monkeypatch):
    """For signals to the launcher, from `scancel` or Ctrl-C; a test cannot resume."""
    main = runpy.run_path(str(soak.ROOT / 'tools' / 'launch.py'))['main']

    def stopped(args):
        raise SignalException('stopped', signal.SIGTERM)

    monkeypatch.setitem(main.__globals__, 'run', stopped)
    monkeypatch.setattr('sys.argv', ['launch.py', f'tools/{script}', 'config.py'])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == code


def assert_no_process_left(config):
    """Worker processes check every 5 s whether their parent still exists."""
    limit = time.monotonic() + 20
    while of_rank(0, config) + of_rank(1, config) and time.monotonic() < limit:
        time.sleep(0.2)
    return not of_rank(0, config) + of_rank(1, config)


def wait_until_it_trains(log, run):
    limit = time.monotonic() + 120
    while ' 14/500' not in log.read_text():
        assert run.poll() is None and time.monotonic() < limit, log.read_text()
        time.sleep(0.05)


def test_a_killed_process_ends_all_processes(tmp_path):
    config = soak.prepare(tmp_path, soak.Scenario('', 'iterations', 500))
    run = soak.launch(tmp_path, config, 'run', 2)
    log = tmp_path / 'run.log'
    wait_until_it_trains(log, run)
    os.kill(of_rank(1, config)[0], signal.SIGKILL)
    begun = time.monotonic()
    assert run.wait() == 1
    assert time.monotonic() - begun < 60
    said = log.read_text()
    assert said.rstrip().endswith('error: process 1 was killed by SIGKILL')
    # only the workers of the killed process may print one
    assert not re.search(r'^(?!\[rank1\]).*Traceback', said, re.MULTILINE)
    assert assert_no_process_left(config)


def test_an_error_of_one_process_is_reported(tmp_path):
    """On two nodes with a launcher each, if a file is damaged during training."""
    config = soak.prepare(tmp_path, soak.Scenario('', 'iterations', 500))
    port = soak.free_port()
    runs = [
        soak.launch(tmp_path, config, 'run', 1, node=(node, 2, port))
        for node in range(2)
    ]
    logs = [tmp_path / f'run.{node}.log' for node in range(2)]
    wait_until_it_trains(logs[0], runs[0])
    damaged = min((tmp_path / 'scenes' / 'leftImg8bit' / 'train').rglob('*.png'))
    damaged.write_bytes(b'')
    begun = time.monotonic()
    assert [run.wait() for run in runs] == [1, 1]
    assert time.monotonic() - begun < 60
    said = [log.read_text() for log in logs]
    assert any(f'error: {damaged.relative_to(tmp_path)}' in each for each in said)
    for each in said:
        assert 'Traceback' not in each
        first = next(line for line in each.splitlines() if line.startswith('error: '))
        assert damaged.name in first or first == (
            'error: another process of this run has ended'
        )
    assert assert_no_process_left(config)


def test_two_nodes_give_the_same_training(tmp_path):
    config = soak.prepare(tmp_path, soak.Scenario('', 'iterations', 10))
    port = soak.free_port()
    share = ('--cfg-options', 'train_dataloader.batch_size=2')
    runs = [
        soak.launch(tmp_path, config, 'nodes', 1, *share, node=(node, 2, port))
        for node in range(2)
    ]
    runs.append(soak.launch(tmp_path, config, 'alone', 2, *share))
    assert [run.wait() for run in runs] == [0, 0, 0]
    assert soak.differences(tmp_path / 'nodes', tmp_path / 'alone') == []


@pytest.mark.parametrize(
    ('backbone', 'options', 'message'),
    [
        (dict(frozen_stages=2, norm_eval=True), (), None),
        (
            dict(out_indices=(2,)),
            (),
            r'error: 25 parameters do not contribute to the loss: backbone\.layer4\.0\.'
            r'conv1\.weight, .* and 20 more\. .* find_unused_parameters=True',
        ),
        (dict(out_indices=(2,)), ('find_unused_parameters=True',), None),
        (
            dict(with_cp=True),
            ('find_unused_parameters=True',),
            r'error: backbone\.layer4\S+ is used twice .* static_graph=True',
        ),
    ],
    ids=['frozen', 'unused', 'unused, allowed', 'with_cp'],
)
def test_parameters_without_a_gradient(
    backbone, options, message, small_data, tool, tmp_path
):
    """Units in frozen stages, and in stages that the head does not use."""
    backbone = dict(type='ResNet', depth=18, **backbone)
    channels = 256 if 'out_indices' in backbone else 512
    config = tmp_path / 'config.py'
    config.write_text(
        f"_base_ = '{soak.ROOT}/configs/cls/glore_mini.py'\n"
        f'model = dict(head=dict(in_channels={channels}), backbone=dict(\n'
        f'    backbone=dict(_delete_=True, **{backbone!r}),\n'
        '    placement=dict(layer2=1, layer4=1)))\n'
        f'data = dict(data_root={str(small_data["cls"])!r})\n'
        'val_dataloader = test_dataloader = dict(dataset=data)\n'
        'train_dataloader = dict(batch_size=2, **val_dataloader)\n'
        'train_cfg = dict(max_epochs=1)\n'
        'param_scheduler = []\n'
    )
    options = ('--cfg-options', *options) if options else ()
    done = tool('dist_train.sh', config, 2, *options, cwd=tmp_path, check=False)
    if message is None:
        assert done.returncode == 0, done.stderr
    else:
        assert done.returncode == 1 and re.search(message, done.stderr), done.stderr
        assert 'Traceback' not in done.stderr
