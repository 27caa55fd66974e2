"""Training curves, from the logs of real Runners."""

import itertools
import json
import re
import shutil
from pathlib import Path

import pytest
import torch
from mmengine.evaluator import BaseMetric, Evaluator
from mmengine.hooks import Hook
from mmengine.model import BaseModel
from mmengine.runner import Runner
from PIL import Image
from torch.utils.data import DataLoader, TensorDataset

from glore_mm.analysis.logs import read_run, read_runs
from glore_mm.utils.errors import UserError
from glore_mm.visualization.curves import default_keys, draw_curves
from glore_mm.visualization.figures import write_figure

STARTS = itertools.count()


class Line(BaseModel):
    """A network whose loss decreases."""

    def __init__(self):
        super().__init__()
        self.linear = torch.nn.Linear(1, 1)

    def forward(self, inputs, mode):
        out = self.linear(inputs)
        return dict(loss=out.square().mean()) if mode == 'loss' else [out]


class Scores(BaseMetric):
    """A metric that returns given scores."""

    def __init__(self, scores):
        super().__init__(prefix='acc')
        self.scores = iter(scores)

    def process(self, data_batch, data_samples):
        self.results.append(0)

    def compute_metrics(self, results):
        return dict(top1=next(self.scores), classes=[1, 2])


class Norms(Hook):
    """A hook that logs lines of its own between iterations."""

    def after_train_iter(self, runner, *args, **kwargs):
        if self.every_n_train_iters(runner, 3):
            norm = runner.model.linear.weight.norm()
            runner.visualizer.add_scalar('norm', norm, step=runner.iter + 1)


def data(samples):
    return DataLoader(TensorDataset(torch.ones(samples, 1)))


def train(work_dir, until, scores, by_epoch=False, hooks=(), **logger):
    """One start of a run, resumed from a checkpoint if there is one; returns its lines.

    An epoch has 4 iterations. Every second iteration is logged. Validation and
    checkpoints are after every 4 iterations, or every epoch.
    """
    loop = 'max_epochs' if by_epoch else 'max_iters'
    interval = dict(val_interval=1 if by_epoch else 4)
    start = next(STARTS)
    runner = Runner(
        Line(),
        str(work_dir),
        # an iteration-based loop waits 2 seconds before it starts again
        train_dataloader=data(4 if by_epoch else 16),
        val_dataloader=data(1),
        train_cfg={'by_epoch': by_epoch, loop: until} | interval,
        val_cfg={},
        val_evaluator=Evaluator(Scores(scores)),
        optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.1)),
        default_hooks=dict(
            logger=dict(type='LoggerHook', interval=2, **logger),
            checkpoint=dict(
                type='CheckpointHook', interval=1 if by_epoch else 4, by_epoch=by_epoch
            ),
        ),
        custom_hooks=list(hooks),
        log_processor=dict(by_epoch=by_epoch),
        visualizer=dict(type='Visualizer', vis_backends=[dict(type='LocalVisBackend')]),
        resume=(work_dir / 'last_checkpoint').exists(),
        experiment_name=str(start),
        randomness=dict(seed=start),
    )
    runner.train()
    # starts within one second would have the same name
    folder = Path(runner.log_dir).rename(work_dir / f'20250101_{start:06}')
    log = folder / 'vis_data' / 'scalars.json'
    return [json.loads(line) for line in log.read_text().splitlines()]


def go_back(work_dir, checkpoint):
    """Restore the state of a run right after that checkpoint."""
    (work_dir / 'last_checkpoint').write_text(str(work_dir / checkpoint))


def points(curve):
    return list(zip(curve.steps, curve.values, strict=True))


def logged(lines, key):
    return [(line['step'], line[key]) for line in lines if key in line]


@pytest.fixture(scope='session')
def iterations(tmp_path_factory):
    """12 iterations, then from 4 to 16 with other scores: work dir and lines."""
    work_dir = tmp_path_factory.mktemp('a') / 'run'
    by = dict(log_metric_by_epoch=False)
    first = train(work_dir, 12, [0.1, 0.5, 0.6], hooks=[Norms()], **by)
    go_back(work_dir, 'iter_4.pth')
    second = train(work_dir, 16, [0.4, 0.3, 0.2], hooks=[Norms()], **by)
    return work_dir, first, second


@pytest.fixture(scope='session')
def epochs(tmp_path_factory):
    """2 epochs, then a third one: work dir and lines."""
    work_dir = tmp_path_factory.mktemp('b') / 'run'
    first = train(work_dir, 2, [0.3, 0.7], by_epoch=True)
    second = train(work_dir, 3, [0.5], by_epoch=True)
    return work_dir, first, second


def test_later_starts_replace_the_log_of_earlier_ones(iterations):
    work_dir, first, second = iterations
    curves = read_run(work_dir)
    loss, score = curves['loss'], curves['acc/top1']
    assert (loss.source, loss.unit) == ('train', 'iteration')
    assert loss.steps == (2, 4, 6, 8, 10, 12, 14, 16)
    assert points(loss) == logged(first, 'loss')[:2] + logged(second, 'loss')
    assert (score.source, score.unit) == ('val', 'iteration')
    assert points(score) == [(4, 0.1), (8, 0.4), (12, 0.3), (16, 0.2)]
    assert score.summary() == ('acc/top1 best 0.4 at iteration 8, last 0.2 at 16')


def test_epochs(epochs):
    work_dir, first, second = epochs
    curves = read_run(work_dir)
    loss, score = curves['loss'], curves['acc/top1']
    assert points(loss) == logged(first, 'loss') + logged(second, 'loss')
    assert (loss.unit, loss.steps) == ('iteration', (2, 4, 6, 8, 10, 12))
    assert (score.unit, points(score)) == ('epoch', [(1, 0.3), (2, 0.7), (3, 0.5)])


def test_lines_of_other_hooks(iterations):
    curves = read_run(iterations[0])
    assert (curves['norm'].source, curves['norm'].unit) == ('hook', 'step')
    assert curves['norm'].steps == (3, 6, 9, 12, 15)
    assert default_keys({'run': curves}) == ['loss', 'acc/top1']


def test_iterations_with_the_default_logger(tmp_path):
    """Which logs all validations at step 0."""
    lines = train(tmp_path, 8, [0.1, 0.2])
    assert logged(lines, 'acc/top1') == [(0, 0.1), (0, 0.2)]
    score = read_run(tmp_path)['acc/top1']
    assert (score.unit, points(score)) == ('iteration', [(4, 0.1), (8, 0.2)])


def test_a_start_without_training_is_ignored(iterations, tmp_path):
    run = Path(shutil.copytree(iterations[0], tmp_path / 'run'))
    write(run, dict(step=0, data_time=0.1, **{'acc/top1': 0.9}), start='2026')
    assert read_run(run) == read_run(iterations[0])


def write(work_dir, *lines, start='2025'):
    log = work_dir / start / 'vis_data' / 'scalars.json'
    log.parent.mkdir(parents=True)
    log.write_text(''.join(f'{json.dumps(line)}\n' for line in lines))
    return log


def test_a_later_start_that_has_not_validated_yet(tmp_path):
    train = [dict(loss=1.0, iter=step, step=step) for step in (2, 4, 6, 8)]
    val = [dict(mIoU=1.0, data_time=0.1, step=step) for step in (4, 8)]
    write(tmp_path, *train[:2], val[0], *train[2:], val[1], start='2025')
    write(tmp_path, train[2], start='2026')
    curves = read_run(tmp_path)
    assert curves['loss'].steps == (2, 4, 6)
    assert curves['mIoU'].steps == (4,)


def test_a_key_of_both_training_and_validation(tmp_path):
    write(
        tmp_path,
        dict(loss=1.0, iter=2, step=2),
        dict(loss=3.0, data_time=0.1, step=2),
        dict(loss=float('nan'), data_time=0.1, step=4),
    )
    curves = read_run(tmp_path)
    assert curves['loss'].values == (1.0,)
    assert curves['loss'].summary() == 'loss 1 at iteration 2'
    assert curves['val/loss'].summary() == (
        'val/loss best 3 at iteration 2, last nan at 4'
    )
    assert default_keys({'run': curves}) == ['loss', 'val/loss']


def test_names(tmp_path):
    line = dict(loss=1.0, iter=2, step=2)
    for name in ('a/x', 'b/x', 'y'):
        write(tmp_path / name, line)
    folders = [tmp_path / name for name in ('a/x', 'b/x', 'y', 'b/../y')]
    assert list(read_runs(folders)) == ['a/x', 'b/x', 'y']


def test_curves_and_keys(iterations, epochs):
    runs = read_runs([iterations[0], epochs[0]])
    figure = draw_curves(runs, ['loss', 'acc/top1', 'norm'])
    loss, score, norm = figure.axes
    assert [axes.get_title() for axes in figure.axes] == ['loss', 'acc/top1', 'norm']
    assert [axes.get_xlabel() for axes in figure.axes] == [
        'iteration', 'iteration or epoch', 'step',
    ]  # fmt: skip
    for axes in (loss, score):
        for line, curves in zip(axes.lines, runs.values(), strict=True):
            assert [tuple(xy) for xy in line.get_xydata()] == points(
                curves[axes.get_title()]
            )
    (line,) = norm.lines  # the other run has none
    assert line.get_color() == loss.lines[0].get_color()
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == list(runs)


def test_smooth(iterations):
    runs = {'run': read_run(iterations[0])}
    loss, score = draw_curves(runs, ['loss', 'acc/top1'], smooth=2).axes
    pale, line = loss.lines
    values = runs['run']['loss'].values
    assert tuple(pale.get_ydata()) == values
    means = [(a + b) / 2 for a, b in itertools.pairwise(values)]
    assert list(line.get_ydata()) == pytest.approx([values[0], *means])
    assert len(score.lines) == 1


def test_tool(tool, iterations, epochs, tmp_path):
    """Including a run that is still training."""
    run = Path(shutil.copytree(iterations[0], tmp_path / 'still'))
    log = sorted(run.glob('*/vis_data/scalars.json'))[-1]
    with log.open('a') as file:
        file.write('{"loss": 0.')
    done = tool('plot_log', 'still', epochs[0], '--out', 'new/curves.png', cwd=tmp_path)
    lines = done.stdout.splitlines()
    assert len(lines) == 3
    number = r'[\d.e-]+'
    assert re.fullmatch(
        rf'still: loss {number} at iteration 16 \| '
        'acc/top1 best 0.4 at iteration 8, last 0.2 at 16',
        lines[0],
    )
    assert re.fullmatch(
        rf'run: loss {number} at iteration 12 \| '
        'acc/top1 best 0.7 at epoch 2, last 0.5 at 3',
        lines[1],
    )
    assert lines[2] == 'picture: new/curves.png'
    assert Image.open(tmp_path / 'new' / 'curves.png').format == 'PNG'

    done = tool('plot_log', 'still', '--keys', 'mIoU', cwd=tmp_path, check=False)
    assert done.returncode == 1
    assert done.stderr == (
        'error: no mIoU in the logs of still; found: lr, data_time, loss, time, '
        'acc/top1, norm. Give some of these as --keys.\n'
    )


def test_formats(iterations, tmp_path):
    figure = draw_curves({'run': read_run(iterations[0])}, ['loss'])
    write_figure(figure, tmp_path / 'a' / 'b.SVG')
    assert '<svg' in (tmp_path / 'a' / 'b.SVG').read_text()
    for name in ('b.doc', 'b'):
        with pytest.raises(UserError, match=f'{name} does not end in an image form'):
            write_figure(figure, tmp_path / 'a' / name)


def test_no_work_dir(tmp_path):
    with pytest.raises(UserError, match=f'no work dir at {tmp_path}/none. Give the '):
        read_run(tmp_path / 'none')


def test_no_log(tmp_path):
    text = f'{tmp_path} has no training log (<timestamp>/vis_data/scalars.json)'
    with pytest.raises(UserError, match=re.escape(f'{text}, but nothing. Give the')):
        read_run(tmp_path)
    write(tmp_path / 'run', dict(loss=1.0, iter=2, step=2))
    with pytest.raises(UserError, match=re.escape(f'{text}, but run. Give the work')):
        read_run(tmp_path)


def test_no_training(tmp_path):
    log = write(tmp_path)
    with pytest.raises(UserError, match=f'no training step is logged in {log}. The '):
        read_run(tmp_path)


@pytest.mark.parametrize('text', ['{"loss": 0.', '[1]', '{"loss": 1.0}', '\0\0'])
def test_damaged_line(tmp_path, text):
    log = write(tmp_path, dict(loss=1.0, iter=2, step=2))
    with log.open('a') as file:
        file.write(f'{text}\n')
    assert read_run(tmp_path)['loss'].steps == (2,)  # the last line may be incomplete
    with log.open('a') as file:
        file.write('{"loss": 1.0, "iter": 4, "step": 4}\n')
    message = f'{log}, line 2, is not a line of a log: found {text!r}, expected a JSON '
    with pytest.raises(UserError, match=re.escape(message)):
        read_run(tmp_path)
