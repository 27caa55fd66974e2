"""Ablations, as a user runs them, and their tables."""

import csv
import json
import math
import os
import shutil
import signal
import subprocess
import sys
import time

import pytest
from filelock import FileLock
from paths import ROOT
from scipy import stats
from squares import write_squares
from torch.utils.data import DataLoader, Dataset

from glore_mm.analysis.ablation import Run, as_record, as_rows, markdown, summarize
from glore_mm.apis.ablate import ablate, read_ablation
from glore_mm.apis.parallel import in_processes
from glore_mm.synthetic.long_range_strips import write_long_range_strips
from glore_mm.utils.atomic_write import write_csv
from glore_mm.utils.cli import cli_entry_point
from glore_mm.utils.errors import UserError
from glore_mm.visualization.ablation_plot import draw_ablation
from glore_mm.visualization.figures import figure_to_image

TIMES = ('seconds',)  # values that differ between runs

CONFIG = """
_base_ = '{root}/configs/seg/fcn_mini.py'
data_root = {data!r}
metric = 'mIoU'
model = dict(backbone=dict(base_channels=8, stem_channels=8))
model['decode_head'] = dict(in_channels=64, channels=8)
model['auxiliary_head'] = dict(in_channels=32, channels=8)
train_dataloader = dict(batch_size=2, num_workers=0, persistent_workers=False,
                        dataset=dict(data_root=data_root))
test_dataloader = dict(num_workers=0, persistent_workers=False,
                       dataset=dict(data_root=data_root))
val_cfg, val_dataloader, val_evaluator = None, None, None
train_cfg = dict(max_iters=2, val_interval=2)
default_hooks = dict(checkpoint=dict(interval=2))
variants = dict({variants})
"""
PLAIN = 'plain=dict(),'
BOTH = PLAIN + "glore=dict(model=dict(decode_head=dict(type='GloReHead'))),"


@pytest.fixture
def config(mini, tmp_path):
    """Write the config of an ablation of two small networks on a few street scenes."""

    def write(variants=PLAIN):
        text = CONFIG.format(root=ROOT, data=str(mini), variants=variants)
        path = tmp_path / 'small.py'
        path.write_text(text)
        return path

    return write


def table(folder):
    """Rows of the table, without the values that differ between runs."""
    rows = json.loads((folder / 'table.json').read_text())['rows']
    return [{k: v for k, v in row.items() if k not in TIMES} for row in rows]


def runs(folder):
    return {file.name: file.read_bytes() for file in (folder / 'runs').iterdir()}


@pytest.fixture(scope='session')
def complete(tool, mini, tmp_path_factory):
    """The config and the folder of an uninterrupted ablation."""
    folder = tmp_path_factory.mktemp('whole')
    config = folder / 'small.py'
    config.write_text(CONFIG.format(root=ROOT, data=str(mini), variants=BOTH))
    done = tool('ablate', config, '--seeds', 2, cwd=folder)
    return config, folder / 'work_dirs' / 'small', done


def test_table_and_files(complete):
    _, folder, done = complete
    plain, glore = table(folder)
    assert (plain['variant'], glore['variant']) == ('plain', 'glore')
    assert plain['seeds'] == [0, 1]
    assert plain['mean'] == pytest.approx(sum(plain['values']) / 2)
    assert plain['difference_value'] is None
    assert glore['difference_value'] == pytest.approx(glore['mean'] - plain['mean'])
    assert glore['parameters'] > plain['parameters'] > 1000
    assert glore['macs'] > plain['macs'] > 1e6
    run = json.loads((folder / 'runs' / 'glore_seed1.json').read_text())
    assert set(run['metrics']) == {'aAcc', 'mIoU', 'mAcc'}
    assert run['seconds'] > 0
    assert run['hardware'].startswith('cpu')

    text = (folder / 'table.md').read_text()
    assert text.startswith('# ')
    assert done.stdout.splitlines()[1:-2] == text.splitlines()[2:]
    assert f'| plain | 2 | {plain["mean"]:.2f} ± {plain["std"]:.2f} |' in text
    columns = {line.count('|') for line in text.splitlines() if line.startswith('|')}
    assert len(columns) == 1
    rows = list(csv.DictReader((folder / 'table.csv').open()))
    assert float(rows[1]['mean']) == pytest.approx(glore['mean'])
    assert rows[1]['seeds'] == '0 1'
    assert (folder / 'plot.png').read_bytes().startswith(b'\x89PNG')
    # one line per run; the training logs are in their own files
    said = [line for line in done.stderr.splitlines() if 'seed' in line]
    assert [line.split(':')[0] for line in said] == [
        'plain, seed 0', 'glore, seed 0', 'plain, seed 1', 'glore, seed 1'
    ]  # fmt: skip
    assert 'Iter(test)' not in done.stdout + done.stderr
    assert 'Iter(test)' in (folder / 'glore' / 'seed1' / 'console.log').read_text()
    assert (folder / 'glore' / 'seed1' / 'dump.npz').exists()


@pytest.mark.slow
def test_another_baseline(tool, complete, tmp_path):
    config, folder, _ = complete
    out = tmp_path / 'out'
    shutil.copytree(folder / 'runs', out / 'runs')
    options = ('--seeds', 2, '--out', out, '--baseline')
    done = tool('ablate', config, *options, 'glore', cwd=tmp_path)
    assert ', seed ' not in done.stderr  # nothing is trained
    glore, plain = table(out)
    assert (glore['variant'], plain['variant']) == ('glore', 'plain')
    assert plain['difference_value'] == pytest.approx(plain['mean'] - glore['mean'])
    done = tool('ablate', config, *options, 'none', cwd=tmp_path, check=False)
    assert '--baseline none: no such variant in ' in done.stderr
    assert 'It has plain, glore.' in done.stderr


@pytest.mark.slow
def test_resume_after_a_kill(tool, complete, tmp_path):
    config, folder, _ = complete
    command = [sys.executable, ROOT / 'tools/ablate.py', config, '--seeds', '2']
    killed = tmp_path / 'killed'
    process = subprocess.Popen(
        [*command, '--work-dir', killed],
        env=dict(os.environ, OMP_NUM_THREADS='1', CUDA_VISIBLE_DEVICES=''),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + 120
    while not (killed / 'glore' / 'seed0' / 'console.log').exists():
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    before = runs(killed)
    assert list(before) == ['plain_seed0.json']

    tool('ablate', config, '--seeds', 2, '--work-dir', killed, cwd=tmp_path)
    after = runs(killed)
    assert len(after) == 4
    assert before.items() <= after.items()
    assert table(killed) == table(folder)


@pytest.mark.slow
def test_sigterm_stops_the_runs(complete, tmp_path):
    config, _, _ = complete
    command = [sys.executable, ROOT / 'tools/ablate.py', config, '--seeds', '2']
    process = subprocess.Popen(
        [*command, '--work-dir', tmp_path / 'ended', '--jobs', '2'],
        env=dict(os.environ, OMP_NUM_THREADS='1', CUDA_VISIBLE_DEVICES=''),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    log = tmp_path / 'ended' / 'plain' / 'seed0' / 'console.log'
    deadline = time.monotonic() + 120
    while not log.exists() or 'Iter(train)' not in log.read_text():
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.02)
    process.send_signal(signal.SIGTERM)
    assert process.wait(30) == 143
    for lock in (tmp_path / 'ended').rglob('.training.lock'):
        FileLock(lock, timeout=0).acquire()
    finished = (
        runs(tmp_path / 'ended') if (tmp_path / 'ended' / 'runs').exists() else []
    )
    assert len(finished) < 4


@pytest.mark.slow
def test_parallel_runs_with_another_folder(tool, complete, tmp_path):
    """Runs in separate processes have the same results; no run is trained twice."""
    config, folder, _ = complete
    where = ('--work-dir', tmp_path / 'work', '--out', tmp_path / 'kept')
    done = tool('ablate', config, '--seeds', 2, '--jobs', 2, *where, cwd=tmp_path)
    assert table(tmp_path / 'kept') == table(folder)
    assert not (tmp_path / 'work' / 'runs').exists()
    again = tool('ablate', config, '--seeds', 2, *where, cwd=tmp_path)
    assert again.stdout == done.stdout
    assert not [line for line in again.stderr.splitlines() if 'trained' in line]


@pytest.mark.slow
def test_slurm(tool, config, tmp_path, monkeypatch):
    """With a fake srun that records its arguments and runs the command."""
    srun = tmp_path / 'bin' / 'srun'
    srun.parent.mkdir()
    srun.write_text(
        '#!/bin/bash\necho "${@:1:9}" >> noted\nshift 9\n"$@" && exit\n'
        'echo "srun: error: node1: task 0: Exited with exit code 1" >&2\nexit 1\n'
    )
    srun.chmod(0o755)
    monkeypatch.setenv('PATH', f'{srun.parent}:{os.environ["PATH"]}')
    monkeypatch.setenv('SRUN_ARGS', '--quiet')
    monkeypatch.chdir(tmp_path)
    tool('ablate', config(), '--seeds', 1, '--slurm', 'gpu', cwd=tmp_path)
    noted = (tmp_path / 'noted').read_text().splitlines()
    options = '--partition gpu --ntasks 1 --gres gpu:1 --cpus-per-task 4 --quiet'
    assert noted == [options]
    assert len(runs(tmp_path / 'work_dirs' / 'small')) == 1

    (failing,) = in_processes(
        [sys.executable, '-c', 'raise OSError("disk full")'], slurm='gpu'
    )
    with pytest.raises(RuntimeError, match='exit code 1: OSError: disk full'):
        failing('plain', 0)


NOISY = """
from mmengine.logging import MMLogger
from mmseg.models import FCNHead
from mmseg.registry import MODELS

@MODELS.register_module()
class NoisyHead(FCNHead):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        MMLogger.get_current_instance().info('a head is built')
"""


@pytest.mark.slow
def test_networks_that_log_when_they_are_built(tool, config, tmp_path):
    (tmp_path / 'noisy.py').write_text(NOISY)
    path = config("noisy=dict(model=dict(decode_head=dict(type='NoisyHead')))")
    with path.open('a') as file:
        file.write("custom_imports = dict(imports=['glore_mm.seg', 'noisy'])\n")
    done = tool('ablate', path, '--seeds', 2, '--work-dir', 'work', cwd=tmp_path)
    logs = [file.read_text() for file in tmp_path.rglob('console.log')]
    assert len(logs) == 2
    assert 'Logging error' not in ''.join([done.stderr, *logs])


@pytest.mark.slow
def test_a_failed_run_is_reported_and_the_others_continue(tool, config, tmp_path):
    broken = "    broken=dict(train_dataloader=dict(dataset=dict(data_root='none'))),\n"
    path = config(
        broken + "    glore2=dict(model=dict(decode_head=dict(type='GCHead'))),\n"
    )
    for jobs in ((), ('--jobs', 2)):
        where = tmp_path / f'work{len(jobs)}'
        given = f'./{where.name}'
        command = ('ablate', path, '--seeds', 1, '--work-dir', given, *jobs)
        done = tool(*command, cwd=tmp_path, check=False)
        assert done.returncode == 1
        assert 'error: 1 of 2 runs failed: broken, seed 0 (' in done.stderr
        assert 'no data set at none' in done.stderr.splitlines()[-1]
        assert f'see {where.name}/broken/seed0/console.log)' in done.stderr
        assert len(runs(where)) == 1
        assert 'broken: no run has finished' in (where / 'table.md').read_text()


def test_the_error_of_a_data_loader_s_worker_names_the_run(config, capsys):
    class Damaged(Dataset):
        def __len__(self):
            return 1

        def __getitem__(self, index):
            raise UserError('img7.png cannot be read')

    def worker(variant, seed):
        list(DataLoader(Damaged(), num_workers=1))

    ablation = read_ablation(str(config()))
    capsys.readouterr()
    with pytest.raises(SystemExit):
        cli_entry_point(lambda: ablate(ablation, [0, 1], [worker]))()
    *_, said = capsys.readouterr().err.splitlines()
    assert said.startswith(
        'error: 2 of 2 runs failed: plain, seed 0 (img7.png cannot be read; see '
    )
    assert 'plain, seed 1 (img7.png cannot be read; see ' in said


def test_an_invalid_ablation_is_an_error_before_training(tool, config, tmp_path):
    done = tool(
        'ablate', config("bad=dict(model=dict(decode_head=dict(type='NoHead')))"),
        cwd=tmp_path, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert done.stderr.startswith("error: variant 'bad': ")
    assert not (tmp_path / 'work_dirs').exists()

    with pytest.raises(UserError, match='variants must be a dict with'):
        read_ablation(str(ROOT / 'configs/seg/fcn_mini.py'))
    with pytest.raises(UserError, match="variant 'a': modle.* has no key 'modle'"):
        read_ablation(str(config('a=dict(modle=dict(decode_head=dict(channels=8)))')))
    for variants, shown in (("**{'a/b': {}}", r"'a/b': \{\}"), ('a=3', "'a': 3")):
        with pytest.raises(UserError, match=f'variants has {shown}. A name must '):
            read_ablation(str(config(variants)))
    plain = str(config())
    with pytest.raises(UserError, match='metric must be the name .* got 3'):
        read_ablation(plain, dict(metric=3))
    for key, value in (('metric_limit', 0), ('solved_at', 'all')):
        with pytest.raises(UserError, match=f'{key} must be a number.*, got {value!r}'):
            read_ablation(plain, {key: value})
    ablation = read_ablation(plain)
    with pytest.raises(UserError, match='--test wilcoxon needs 6 seeds or more, got 5'):
        ablate(ablation, range(5), test='wilcoxon')


def test_an_option_that_a_variant_overrides_is_an_error():
    path = str(ROOT / 'configs/ablation/long_range.py')
    for key in ('model.backbone.base_channels', 'model', 'model.decode_head.num_convs'):
        with pytest.raises(
            UserError, match=f'--cfg-options {key}: variant .* overrides '
        ):
            read_ablation(path, {key: 32})
    ablation = read_ablation(path, {'model.decode_head.channels': 16})
    for variant in ablation.variants:
        assert ablation.config(variant).model.decode_head.channels == 16


@pytest.mark.slow
def test_a_run_is_trained_by_one_process_only(tool, complete, tmp_path):
    config, folder, _ = complete
    work = tmp_path / 'plain' / 'seed0'
    work.mkdir(parents=True)
    command = ('ablate', config, '--only', 'plain', 0, '--work-dir', tmp_path)
    with FileLock(work / '.training.lock'):
        done = tool(*command, cwd=tmp_path, check=False)
    assert done.returncode == 1
    assert done.stderr == (
        f'error: another process is training in {work}. End it first, or give another '
        '--work-dir.\n'
    )
    # a finished run is not trained again
    before = runs(folder)
    tool(*command, '--out', folder, cwd=tmp_path)
    assert runs(folder) == before
    assert not (work / 'console.log').exists()


@pytest.mark.slow
def test_runs_on_other_data_are_an_error(tool, complete, tmp_path):
    config, folder, _ = complete
    record = json.loads((folder / 'runs' / 'plain_seed0.json').read_text())
    assert record['data']['num_val'] > 0
    record['data']['seed'] += 1
    kept = tmp_path / 'kept'
    (kept / 'runs').mkdir(parents=True)
    (kept / 'runs' / 'plain_seed0.json').write_text(json.dumps(record))
    command = ('ablate', config, '--work-dir', tmp_path, '--out', kept)
    done = tool(*command, cwd=tmp_path, check=False)
    assert "plain_seed0.json is from other data: {'version'" in done.stderr
    (kept / 'runs' / 'plain_seed0.json').rename(kept / 'runs' / 'glore_seed3.json')
    done = tool(*command, cwd=tmp_path, check=False)
    assert "glore_seed3.json is from 'plain', seed 0" in done.stderr


def test_data_of_the_user_are_told_apart(tmp_path, monkeypatch):
    """Whatever their folder is called."""
    config = tmp_path / 'small.py'
    config.write_text(
        "_base_ = 'glore_mm::seg/glore_r18_custom.py'\n"
        "metric = 'mIoU'\nvariants = dict(a=dict(), b=dict())\n"
    )
    found = []
    for name, count in (('one', 4), ('same', 4), ('more', 5)):
        root = write_squares(tmp_path / name, count)
        (root / 'img').rename(root / 'images')
        (root / 'ann').rename(root / 'masks')
        options = [f'data_root={root}', 'classes=field,square']
        found.append(read_ablation(str(config), options).data('a'))
    assert found[0] == found[1] != found[2]
    monkeypatch.chdir(tmp_path)
    for root in ('one', './one/'):
        options = [f'data_root={root}', 'classes=field,square']
        assert read_ablation(str(config), options).data('a') == found[0]
    # not those of the base, if the data sets or a variant have folders of their own
    write_long_range_strips(tmp_path / 'generated', 4, 4)
    own = "dict(dataset=dict(data_root='more', classes=['field', 'square']))"
    one = "dict(dataset=dict(data_root='one'))"
    with config.open('a') as file:
        file.write(
            f"data_root = 'generated'\ntrain_dataloader = {own}\n"
            f'test_dataloader = {own}\n'
            f"variants['b'] = dict(train_dataloader={one}, test_dataloader={one})\n"
        )
    ablation = read_ablation(str(config))
    assert [ablation.data(name) for name in 'ba'] == [found[0], found[2]]


@pytest.mark.slow
def test_runs_with_another_config_are_an_error(tool, complete, tmp_path):
    config, folder, _ = complete
    options = ('--cfg-options', 'optim_wrapper.optimizer.lr=0.1')
    command = ('ablate', config, '--seeds', 2, '--work-dir', tmp_path)
    command = (*command, '--out', folder)
    done = tool(*command, *options, cwd=tmp_path, check=False)
    assert done.returncode == 1
    file = f'{folder}/runs/plain_seed0.json'
    assert f"{file} is from another config than the present 'plain'" in done.stderr
    kept = tmp_path / 'kept'
    (kept / 'runs').mkdir(parents=True)
    (kept / 'runs' / 'plain_seed0.json').write_text('{"variant": "pl')
    done = tool(*command[:-1], kept, cwd=tmp_path, check=False)
    assert 'cannot be read as a finished run' in done.stderr


def test_each_gpu_has_one_run(tmp_path, monkeypatch):
    script = tmp_path / 'one.py'
    script.write_text(
        'import os, sys\n'
        'open(sys.argv[2], "w").write(os.environ["CUDA_VISIBLE_DEVICES"])\n'
    )
    monkeypatch.chdir(tmp_path)
    for gpu in in_processes([sys.executable, str(script)], gpus=['0', '3']):
        gpu(f'run{len(list(tmp_path.glob("run*")))}', 5)
    assert [(tmp_path / f'run{i}').read_text() for i in (0, 1)] == ['0', '3']
    (failing,) = in_processes([sys.executable, '-c', 'raise OSError("disk full")'])
    with pytest.raises(RuntimeError, match='exit code 1: OSError: disk full'):
        failing('plain', 0)


# ------------------------------------------------------------------- the table


def run(variant, seed, score, macs=10**9):
    return Run(
        variant, seed, dict(mIoU=score), 100, macs, 60.0, 'x', {}, 'cpu', 'torch'
    )


SCORES = dict(plain=[70.0, 70.4, 70.8], a=[71.1, 71.3, 71.8], b=[70.1, 70.2, 71.0])
RUNS = [run(name, s, value) for name, v in SCORES.items() for s, value in enumerate(v)]


def test_values_in_the_table():
    summary = summarize(RUNS, list(SCORES), 'mIoU')
    plain, a, b = summary.rows
    assert plain.mean == pytest.approx(70.4)
    assert plain.std == pytest.approx(0.4)
    assert plain.low == pytest.approx(70.4 - 4.302653 * 0.4 / math.sqrt(3))
    expected = stats.ttest_rel(SCORES['a'], SCORES['plain'])
    assert a.difference.p == pytest.approx(expected.pvalue)
    assert a.p_holm == pytest.approx(2 * expected.pvalue)
    assert b.p_holm == pytest.approx(b.difference.p)
    assert plain.difference is None
    line = markdown(summary).splitlines()[3]
    assert line.startswith(
        '| a | 3 | 71.40 ± 0.36 | 70.50 to 72.30 | 71.10 to 71.80 | +1.00 | +0.75 to'
    )


def test_a_metric_from_0_to_1_has_more_decimals():
    scores = {name: [x / 100 for x in values] for name, values in SCORES.items()}
    runs = [run(name, s, x) for name, v in scores.items() for s, x in enumerate(v)]
    line = markdown(summarize(runs, list(scores), 'mIoU', limit=1)).splitlines()[3]
    assert line.startswith(
        '| a | 3 | 0.7140 ± 0.0036 | 0.7050 to 0.7230 | 0.7110 to 0.7180 | +0.0100 | +0'
    )


def test_intervals_do_not_exceed_the_limits_of_the_metric():
    scores = dict(plain=[99.0, 70.0, 95.0], a=[1.0, 40.0, 2.0])
    runs = [
        run(name, s, value) for name, v in scores.items() for s, value in enumerate(v)
    ]
    plain, a = summarize(runs, list(scores), 'mIoU').rows
    assert 0 < plain.low < plain.high == 100 and 0 == a.low < a.high < 100
    assert a.difference.low == -100
    (plain, _) = summarize(runs, list(scores), 'mIoU', limit=150).rows
    assert plain.high > 100


def test_runs_that_solve_a_task_or_do_not_are_counted():
    """The exact interval by its definition; Fisher's test by counting all tables."""
    scores = dict(plain=[25.0, 24.0, 26.0, 30.0], a=[99.0, 100.0, 100.0, 100.0])
    scores['b'] = [99.5, 98.9, 25.0, 50.0]
    runs = [
        run(name, s, value) for name, v in scores.items() for s, value in enumerate(v)
    ]
    summary = summarize(runs, list(scores), 'mIoU', solved_at=99)
    plain, a, b = (row.solved for row in summary.rows)
    assert (plain.count, a.count, b.count) == (0, 4, 1)
    assert plain.low == 0 and a.high == 1
    assert (1 - plain.high) ** 4 == pytest.approx(0.025)
    assert a.low**4 == pytest.approx(0.025)
    assert 1 - (1 - b.low) ** 4 == pytest.approx(0.025)
    assert a.p == pytest.approx(2 / math.comb(8, 4)) and b.p == pytest.approx(1)
    assert summary.rows[1].p_holm == pytest.approx(2 * a.p)
    assert all(row.difference is None for row in summary.rows)
    table = markdown(summary)
    assert '| a | 4 of 4 | 40 to 100 % | 99.0, 100.0, 100.0, 100.0 | 0.0286 |' in table
    assert ' ± ' not in table
    assert as_record(summary)['rows'][0]['solved_p'] is None
    figure_to_image(draw_ablation(summary))


def test_missing_seeds(tmp_path):
    """Pairs are seeds that both variants have; a variant without pairs is reported."""
    summary = summarize(RUNS[:2] + RUNS[4:], ['plain', 'a', 'b', 'c'], 'mIoU')
    plain, a, b = summary.rows
    assert (plain.seeds, a.seeds, b.seeds) == ([0, 1], [1, 2], [0, 1, 2])
    assert a.difference is None
    assert b.difference.count == 2
    assert b.p_holm == b.difference.p  # a single comparison
    assert summary.notes == [
        'a: a paired test needs 2 pairs of runs or more, got 1',
        'c: a paired test needs 2 pairs of runs or more, got 0',
        'c: no run has finished',
    ]
    assert as_record(summary)['rows'][1]['difference_p'] is None
    rows = as_rows(summary)
    write_csv(tmp_path / 'table.csv', list(rows[0]), rows)
    assert len(list(csv.DictReader((tmp_path / 'table.csv').open()))) == 3


def test_a_diverged_run_is_shown_in_the_table():
    scores = [*RUNS, run('c', 0, math.nan), run('c', 1, 70.0)]
    for variants in ([*SCORES, 'c'], ['c', *SCORES]):
        summary = summarize(scores, variants, 'mIoU')
        assert '| c | 2 | nan' in markdown(summary)
        figure_to_image(draw_ablation(summary))
    assert math.isnan(summary.rows[1].difference.p)


def test_the_table_shows_the_smallest_p_of_wilcoxon():
    scores = [run('plain', s, 70 + s) for s in range(6)]
    scores += [run('a', s, 71 + 1.1 * s) for s in range(6)]
    summary = summarize(scores, ['plain', 'a'], 'mIoU', 'wilcoxon')
    assert '| 0.0312 (smallest possible 0.0312) |' in markdown(summary)


def test_a_metric_that_was_not_measured():
    with pytest.raises(UserError, match="plain, seed 0: .* no 'mAP'; it has: mIoU"):
        summarize(RUNS, list(SCORES), 'mAP')
