"""Interrupted trainings: what is saved, and how they resume."""

import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import soak
import torch
from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from mmseg.datasets import CityscapesDataset
from processes import of_rank

from glore_mm.apis.train import train
from glore_mm.checkpoints.files import read_checkpoint
from glore_mm.config.load import load_config
from glore_mm.utils.errors import TrainingInterrupted, UserError

ITERATIONS = soak.Scenario('by iterations', 'iterations', 30)
EPOCHS = soak.Scenario('by epochs', 'epochs', 5)
PROCESSES = soak.Scenario('two processes', 'iterations', 30, 2)


@pytest.mark.slow
@pytest.mark.parametrize(
    'scenario', [ITERATIONS, EPOCHS, PROCESSES], ids=lambda scenario: scenario.name
)
def test_no_progress_is_lost_after_kills(scenario, tmp_path):
    """`make soak` does the same for longer."""
    outcome = soak.soak(tmp_path, scenario, 2, random.Random(4))
    assert (outcome.kills, outcome.lost) == (2, 0)
    assert outcome.identical == outcome.trainings > 0


def wait_for(log: Path, text: str, process: subprocess.Popen) -> None:
    limit = time.monotonic() + 120
    while text not in (log.read_text() if log.exists() else ''):
        assert process.poll() is None and time.monotonic() < limit, log.read_text()
        time.sleep(0.02)


def validate_longer(config: Path) -> None:
    config.write_text(
        config.read_text()
        + "more = dict(img_path='leftImg8bit/train', seg_map_path='gtFine/train')\n"
        'repeated = _base_.val_dataloader.dataset\n'
        'repeated.update(scenes, data_prefix=more)\n'
        'val_dataloader["dataset"] = dict(\n'
        '    _delete_=True, type="RepeatDataset", times=10, dataset=repeated)\n'
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    ('scenario', 'number', 'moment', 'saved'),
    [
        (ITERATIONS, signal.SIGTERM, '[14/30]', r'iter_'),
        (EPOCHS, signal.SIGINT, '[3][ 2/15]', 'epoch_2_iter_'),
        (PROCESSES, signal.SIGTERM, '[14/30]', 'iter_'),
        (ITERATIONS, signal.SIGTERM, 'Iter(val) [  2/100]', 'iter_20'),
        (PROCESSES, signal.SIGTERM, 'Iter(val) [ 2/50]', 'iter_20'),
    ],
    ids=[
        'SIGTERM',
        'Ctrl-C',
        'two processes',
        'validating',
        'two processes validating',
    ],
)
def test_a_signal_saves_a_checkpoint_and_reports_it(
    scenario, number, moment, saved, tmp_path
):
    config = soak.prepare(tmp_path, scenario)
    if scenario.config == 'iterations':
        validate_longer(config)
    whole = soak.launch(tmp_path, config, 'whole', scenario.processes)
    assert whole.wait() == 0, (tmp_path / 'whole.log').read_text()

    log = tmp_path / 'run.log'
    process = soak.launch(tmp_path, config, 'run', scenario.processes)
    wait_for(log, moment, process)
    begun = time.monotonic()
    process.send_signal(number)
    assert process.wait() == 75, log.read_text()
    assert time.monotonic() - begun < 60
    said = log.read_text()
    assert f'stopped by {number.name} after ' in said
    assert f'/run/{saved}' in said and '--resume continues' in said
    assert 'Traceback' not in said

    resumed = soak.launch(tmp_path, config, 'run', scenario.processes, '--resume')
    assert resumed.wait() == 0, log.read_text()
    assert soak.differences(tmp_path / 'run', tmp_path / 'whole') == []


@pytest.mark.slow
@pytest.mark.parametrize('first', [0, 1])
def test_the_result_is_the_same_whichever_process_gets_the_signal_first(
    first, tmp_path
):
    """During validation, which each process leaves by itself."""
    config, log = soak.prepare(tmp_path, PROCESSES), tmp_path / 'run.log'
    validate_longer(config)
    process = soak.launch(tmp_path, config, 'run', 2)
    wait_for(log, 'Iter(val) [ 2/50]', process)
    os.kill(of_rank(first, config)[0], signal.SIGTERM)
    assert process.wait() == 75, log.read_text()
    assert 'stopped by SIGTERM after 20 iterations: saved ' in log.read_text()
    assert 'Traceback' not in log.read_text()


def test_slurm_requeues_the_job(tmp_path, monkeypatch):
    """With a fake srun: stopped and saved twice, then failed."""
    srun = tmp_path / 'srun'
    srun.write_text(
        '#!/bin/sh\necho "$@" >> noted\nexit $(sed -n "$(wc -l < noted)p" codes)'
    )
    srun.chmod(0o755)
    monkeypatch.setenv('PATH', f'{tmp_path}:{os.environ["PATH"]}')
    monkeypatch.setenv('SRUN_ARGS', '--time 60')
    monkeypatch.delenv('PYTHON', raising=False)
    (tmp_path / 'codes').write_text('75\n75\n3\n')
    tool = soak.ROOT / 'tools' / 'slurm_train.sh'
    command = [tool, 'part', 'name', 'config.py', '4', '--seed', '0']
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 3 and done.stderr == 'queued again\n' * 2
    first, *again = (tmp_path / 'noted').read_text().splitlines()
    assert '--ntasks 4 ' in first and '--kill-on-bad-exit=1 ' in first
    assert '--signal TERM@120 --time 60 python -u ' in first
    assert first.endswith('/train.py config.py --seed 0 --launcher slurm')
    for args in again:
        assert args == first.replace('--seed 0', '--seed 0 --resume auto')


# --------------------------------------------------- in this process, which is faster


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Train a few iterations in `tmp_path/run`: run(resume='latest', more=options)."""
    monkeypatch.chdir(tmp_path)
    config = soak.prepare(tmp_path, soak.Scenario('', 'iterations', 8))

    def train_here(seed=0, resume=None, **options):
        options = {'train_cfg.max_iters': 8, 'train_cfg.val_interval': 8} | {
            key.replace('__', '.'): value for key, value in options.items()
        }
        if resume is True:  # the key of the config
            options['resume'], resume = True, None
        cfg = load_config(str(config), options, work_dir='run')
        return train(cfg, resume=resume, seed=seed)

    return train_here


def files():
    return {path.name for path in Path('run').glob('*.pth*')}


def test_the_latest_complete_checkpoint_is_resumed(run, capsys):
    run(train_cfg__max_iters=6)
    newest = Path('run/iter_6.pth')
    weights = read_checkpoint(str(newest))['state_dict']
    content = newest.read_bytes()
    newest.write_bytes(content[: len(content) // 2])
    Path('run/iter_7.pth').touch()
    Path('run/iter_9.pth.123.part').touch()  # an incomplete file of a killed run
    run(resume='latest', train_cfg__max_iters=6)
    said = capsys.readouterr().out
    assert 'skipped: ' in said and 'iter_7.pth is empty' in said
    assert 'iter_6.pth cannot be read as a checkpoint' in said
    assert 'resumed epoch: 0, iter: 4' in said
    again = read_checkpoint(str(newest))['state_dict']
    assert all(torch.equal(again[name], value) for name, value in weights.items())
    assert not list(Path('run').glob('*.part'))


def test_only_incomplete_checkpoints(run):
    with pytest.raises(UserError, match='run has no checkpoint to resume from'):
        run(resume='latest')
    Path('run').mkdir(exist_ok=True)
    torch.save(dict(state_dict={'a': torch.ones(1)}), 'run/iter_4.pth')
    Path('run/iter_5.pth').mkdir()
    with pytest.raises(UserError) as error:
        run(resume='latest')
    assert 'iter_4.pth cannot be resumed: it lacks message_hub' in str(error.value)
    assert 'iter_5.pth: it is a folder' in str(error.value)


@pytest.mark.slow
def test_files_of_others_are_never_deleted(run):
    """Neither by the limit of checkpoints, nor because a checkpoint names them."""
    Path('run').mkdir()
    precious = Path('precious.pth').resolve()
    for name in ('run/iter_1.pth', 'run/best_mIoU_iter_1.pth', precious):
        Path(name).write_text('mine')
    run(train_cfg__val_interval=4)
    kept = {'iter_1.pth', 'best_mIoU_iter_1.pth', 'iter_4.pth', 'iter_8.pth'}
    assert files() - {'best_mIoU_iter_8.pth', 'best_mIoU_iter_4.pth'} == kept

    content = torch.load('run/iter_8.pth', weights_only=False)
    info = content['message_hub']['runtime_info']
    info.update(best_score=-1.0, best_ckpt=str(precious), keep_ckpt_ids=[1, 1, 1, 1])
    torch.save(content, 'run/iter_8.pth')
    run(resume='latest', train_cfg__max_iters=16, train_cfg__val_interval=4)
    for name in ('run/iter_1.pth', 'run/best_mIoU_iter_1.pth', precious):
        assert Path(name).read_text() == 'mine'
    assert files() >= {'iter_12.pth', 'iter_16.pth'}  # the last two of ours
    assert 'iter_4.pth' not in files()


@pytest.mark.slow
def test_a_new_run_in_an_old_folder_deletes_none_of_its_files(run):
    run()
    Path('elsewhere').mkdir()
    shutil.copy('run/iter_4.pth', 'elsewhere/iter_4.pth')
    before = files()
    run(
        resume=True,
        load_from='elsewhere/iter_4.pth',
        train_cfg__max_iters=10,
        default_hooks__checkpoint__interval=5,
        default_hooks__checkpoint__save_best=None,
    )
    assert files() >= before | {'iter_10.pth'}
    before = files()
    run(
        default_hooks__checkpoint__interval=3, default_hooks__checkpoint__save_best=None
    )
    assert files() == before | {'iter_6.pth'}


@pytest.mark.slow
def test_workers_and_validation_do_not_change_training(run):
    run()
    one = read_checkpoint('run/iter_8.pth')
    loading = dict(num_workers=0, persistent_workers=False)
    options = {f'train_dataloader__{key}': value for key, value in loading.items()}
    run(train_cfg__val_interval=3, **options)
    other = read_checkpoint('run/iter_8.pth')
    assert soak.same(one['state_dict'], other['state_dict'])
    assert soak.same(one['random_states'], other['random_states'])


def test_a_signal_does_not_end_workers_that_are_starting(run, monkeypatch):
    """They get it after PyTorch has set its handler and before worker_init_fn."""
    parent, set_num_threads = os.getpid(), torch.set_num_threads

    def set_after_signal(number):
        if os.getpid() != parent:
            os.kill(os.getpid(), signal.SIGTERM)
        set_num_threads(number)

    monkeypatch.setattr(torch, 'set_num_threads', set_after_signal)
    run(train_dataloader__num_workers=1, val_dataloader__num_workers=1)
    assert 'iter_8.pth' in files()


@HOOKS.register_module()
class StopInValidation(Hook):
    """Send this process a signal at the first batch of a validation."""

    def after_val_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        os.kill(os.getpid(), signal.SIGTERM)


@pytest.mark.slow
def test_a_validation_with_averaged_weights_is_interrupted(run):
    """It is repeated, and trained and averaged weights are not exchanged."""
    average = [dict(type='EMAHook', momentum=0.5)]
    options = dict(
        train_cfg__val_interval=5, default_hooks__checkpoint__interval=8,
        custom_hooks=average,
    )  # fmt: skip
    run(**options)
    Path('run').rename('whole')
    stop = [*average, dict(type='StopInValidation')]
    with pytest.raises(TrainingInterrupted):
        run(**options | dict(custom_hooks=stop))
    run(resume='latest', **options)
    names = {path.name for path in Path('whole').glob('*.pth')}
    assert files() == names | {'iter_5.pth'}
    for name in names:
        one = read_checkpoint(f'whole/{name}')
        other = read_checkpoint(f'run/{name}')
        for key in ('state_dict', 'ema_state_dict'):
            assert soak.same(one[key], other[key]), (name, key)


@pytest.mark.slow
def test_resumed_epochs_with_another_batch_size_begin_at_their_first_batch(
    tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    config = soak.prepare(tmp_path, EPOCHS)

    def train_here(epochs, batch_size, resume=None):
        options = {
            'train_cfg.max_epochs': epochs,
            'train_cfg.val_interval': 9,
            'train_dataloader.batch_size': batch_size,
            'default_hooks.checkpoint.interval': 1,
            'default_hooks.logger.interval': 1,
        }
        train(load_config(str(config), options, work_dir='run'), resume=resume, seed=0)
        log = max(Path('run').glob('*/*.log'), key=lambda path: path.stat().st_mtime_ns)
        return re.findall(
            r'Epoch\(train\) +\[(\d+)\]\[ *(\d+)/(\d+)\]', log.read_text()
        )

    assert len(train_here(1, 4)) == 15
    again = train_here(2, 6, 'latest')
    assert again == [('2', str(i), '10') for i in range(1, 11)]


@pytest.mark.slow
def test_a_resumed_training_follows_the_schedule_of_its_checkpoint(run, capsys):
    schedule = [dict(type='CosineAnnealingLR', T_max=4, by_epoch=False)]
    run(train_cfg__max_iters=4, param_scheduler=schedule)
    assert 'follows the checkpoint' not in capsys.readouterr().err
    schedule[0]['T_max'] = 8
    run(resume='latest', param_scheduler=schedule)
    said = capsys.readouterr()
    assert (
        'another param_scheduler or learning rate than the config'
        in said.out + said.err
    )


def test_other_classes_than_the_trained_ones_are_an_error(run):
    run(train_cfg__max_iters=4)
    names = list(CityscapesDataset.METAINFO['classes'])
    names[:2] = names[1::-1]
    with pytest.raises(UserError, match='iter_4.pth') as error:
        metainfo = dict(classes=names)
        run(
            resume='latest',
            train_dataloader__dataset__metainfo=metainfo,
            val_dataloader__dataset__metainfo=metainfo,
        )
    assert 'sidewalk' in str(error.value)


@pytest.mark.slow
def test_another_seed_is_an_error(run):
    run(train_cfg__max_iters=4)
    with pytest.raises(
        UserError, match='--seed 1: .*iter_4.pth was trained with seed 0'
    ):
        run(seed=1, resume='latest')
    run(seed=None, resume='latest')


@pytest.mark.slow
def test_another_seed_in_the_config_is_reported(run, capsys):
    run(train_cfg__max_iters=4)
    run(seed=None, resume='latest', randomness__seed=9)
    message = 'randomness.seed=9 of the config is not used: run/iter_4.pth was tr'
    assert message in capsys.readouterr().out
    assert read_checkpoint('run/iter_8.pth')['meta']['seed'] == 0


@pytest.mark.slow
@pytest.mark.parametrize(
    'copied',
    [
        ('iter_6.pth', 'iter_4.pth', 'last_checkpoint'),
        ('iter_6.pth', 'last_checkpoint', 'iter_4.pth'),
        ('iter_6.pth', 'iter_4.pth', '.written.json'),
    ],
)
def test_a_copied_work_dir_resumes_from_its_latest_checkpoint(copied, run, capsys):
    """Copying changes times, and the original can be gone or trained on."""
    run(train_cfg__max_iters=6)
    Path('run').rename('original')
    Path('run').mkdir()
    for name in copied:
        shutil.copy(f'original/{name}', f'run/{name}')
        time.sleep(0.05)
    run(resume='latest', train_cfg__max_iters=6)
    assert 'resumed epoch: 0, iter: 6' in capsys.readouterr().out


@pytest.mark.slow
def test_checkpoints_in_a_folder_of_their_own_are_resumed(run, capsys):
    """Not those of the same name in the work dir."""
    options = dict(train_cfg__max_iters=4, default_hooks__checkpoint__interval=2)
    # mmengine adds a folder with the name of the run, but not to the work dir itself
    places = (Path('run').absolute(), 'run'), ('saved', 'saved/run')
    for seed, (out_dir, folder) in enumerate(places):
        options['default_hooks__checkpoint__out_dir'] = str(out_dir)
        run(seed=seed, **options)
        Path(folder, 'iter_4.pth').write_bytes(b'damaged')
        run(seed=seed, resume='latest', **options)
        said = capsys.readouterr().out
        assert f'skipped: {folder}/iter_4.pth' in said
        assert 'resumed epoch: 0, iter: 2' in said
        assert read_checkpoint(f'{folder}/iter_4.pth')['meta']['seed'] == seed


def test_early_stopping_saves_the_last_weights(run):
    stop = dict(
        type='EarlyStoppingHook', monitor='mIoU', rule='greater', min_delta=100,
        patience=1,
    )  # fmt: skip
    run(
        train_cfg__val_interval=2,
        default_hooks__checkpoint__interval=100,
        default_hooks__checkpoint__save_best=None,
        custom_hooks=[stop],
    )
    assert files() == {'iter_4.pth'}


def test_two_runs_in_one_folder_are_an_error(run):
    script = (
        'from filelock import FileLock\n'
        "lock = FileLock('run/.training.lock')\n"
        'lock.acquire(), print(1, flush=True), input()'
    )
    Path('run').mkdir()
    with subprocess.Popen(
        [sys.executable, '-c', script],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as other:
        other.stdout.readline()
        with pytest.raises(UserError, match='another process is training in run'):
            run()
        other.communicate('\n')
    run(train_cfg__max_iters=1)


@pytest.mark.slow
def test_a_full_disk(tmp_path):
    """On a real file system with space for one checkpoint and a part of the next."""
    config = soak.prepare(tmp_path, soak.Scenario('', 'iterations', 8))
    (tmp_path / 'run').mkdir()
    inside = (
        f'mount -t tmpfs -o size=4m tmpfs run && {sys.executable} {soak.ROOT}/tools/'
        f'train.py {config} --work-dir run --cfg-options train_cfg.val_interval=100; '
        'echo exit $?; ls run; cp run/iter_4.pth .'
    )
    command = ['unshare', '--user', '--map-root-user', '--mount', 'sh', '-c', inside]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    if 'unshare:' in done.stderr or 'mount:' in done.stderr:
        pytest.skip(f'this machine makes no file system of one file: {done.stderr}')
    assert 'exit 1' in done.stdout
    (error,) = (line for line in done.stderr.splitlines() if line.startswith('error: '))
    assert 'iter_8.pth cannot be written: No space left on device' in error
    assert 'the checkpoints that were written before are complete' in error
    assert 'Traceback' not in done.stderr and '.part' not in done.stdout
    assert read_checkpoint(str(tmp_path / 'iter_4.pth'))['meta']['iter'] == 4
