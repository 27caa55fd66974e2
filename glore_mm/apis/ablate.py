"""Training the variants of one config with several seeds, and what comes of it."""

import copy
import hashlib
import json
import os
import re
import subprocess
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import asdict, dataclass
from functools import partial
from itertools import product
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import numpy as np
import torch
from filelock import FileLock, Timeout
from mmengine.config import Config, ConfigDict
from rich.console import Console
from rich.progress import MofNCompleteColumn, Progress, TimeElapsedColumn

import glore_mm
from glore_mm.analysis.ablation import (
    Run,
    Summary,
    as_csv,
    as_record,
    markdown,
    summarize,
)
from glore_mm.analysis.cost import Cost, count_flops
from glore_mm.analysis.significance import MIN_PAIRS
from glore_mm.apis.tasks import example_inputs
from glore_mm.apis.train import train_and_test
from glore_mm.config.build import build_model
from glore_mm.config.load import load_config
from glore_mm.synthetic.writer import read_record
from glore_mm.utils.atomic_write import write_text
from glore_mm.utils.device import device_name
from glore_mm.utils.errors import TrainingInterrupted, UserError, error_message

#: Trains one variant with one seed; raises where that fails.
Worker = Callable[[str, int], None]

_running: set[subprocess.Popen[str]] = set()


@dataclass(frozen=True)
class Ablation:
    """Variants of one config, and where their runs are kept.

    Attributes:
        cfg (Config): What the variants have in common.
        variants (dict[str, dict]): Overrides of it by the variant's name; the first is
            the baseline.
        metric (str): What is compared.
        out (Path): Folder of the finished runs and the table.
    """

    cfg: Config
    variants: dict[str, dict[str, Any]]
    metric: str
    out: Path

    def config(self, variant: str, seed: int = 0) -> Config:
        """The config of a run."""
        cfg = copy.deepcopy(self.cfg)
        cfg.merge_from_dict(copy.deepcopy(self.variants[variant]))
        cfg.work_dir = os.path.join(self.cfg.work_dir, variant, f'seed{seed}')
        return cfg

    def cost(self, variant: str) -> Cost:
        """What a variant's network costs.

        Raises:
            UserError: It cannot be built, or does not run.
        """
        cfg = self.config(variant)
        try:
            return count_flops(build_model(cfg), **example_inputs(cfg))
        except Exception as error:  # of whichever layer it is that does not fit
            raise UserError(f'variant {variant!r}: {error_message(error)}') from error

    def file(self, variant: str, seed: int) -> Path:
        """Where a run is kept when it has finished."""
        return self.out / 'runs' / f'{variant}_seed{seed}.json'

    def finished(self) -> dict[tuple[str, int], Run]:
        """The runs that have finished, by variant and seed.

        Raises:
            UserError: A file is damaged, or is of another run, config or data set.
        """
        names = [file.name for file in self.out.glob('runs/*.json')]
        return {
            (variant, int(found[1])): self.run(variant, int(found[1]))
            for variant in self.variants
            for name in names
            if (found := re.fullmatch(rf'{re.escape(variant)}_seed(\d+)\.json', name))
        }

    def run(self, variant: str, seed: int) -> Run:
        """A run that has finished; errors are those of `finished`."""
        file = self.file(variant, seed)
        try:
            run = Run(**json.loads(file.read_text()))
        except (OSError, ValueError, TypeError) as error:
            raise UserError(
                f'{file} cannot be read as a finished run: {error}. Remove it, '
                'and it is trained again.'
            ) from error
        of_which = ''
        if (run.variant, run.seed) != (variant, seed):
            of_which = f'{run.variant!r}, seed {run.seed}'
        elif run.config != _digest(self.config(variant)):
            of_which = f'another config than {variant!r} of {self.cfg.filename} now is'
        elif self.data and run.data and self.data != run.data:
            of_which = f'data written with {run.data}, not with {self.data}'
        if of_which:
            raise UserError(
                f'{file} is of {of_which}. Remove it, or give another --work-dir or '
                '--out.'
            )
        return run

    @property
    def data(self) -> dict[str, Any]:
        """What the data set was generated with; empty of other data."""
        root = self.cfg.get('data_root')
        return read_record(root) if root else {}


def read_ablation(
    path: str,
    options: Mapping[str, Any] | Sequence[str] | None = None,
    work_dir: str | None = None,
    out: str | None = None,
) -> Ablation:
    """Read a config with `variants` and `metric`.

    Args:
        path (str): The config file.
        options (Mapping | Sequence[str], optional): Keys to override in all variants,
            as for `load_config`; none that one of them has a value of its own for.
        work_dir (str, optional): For logs and checkpoints. Default: as for
            `load_config`.
        out (str, optional): For finished runs and the table. Default: `work_dir`.

    Raises:
        UserError: It is none.
    """
    cfg = load_config(path, options, work_dir)
    overridden = [option.partition('=')[0] for option in options or ()]
    variants, metric = cfg.pop('variants', None), cfg.pop('metric', None)
    if not isinstance(variants, ConfigDict) or not variants:
        raise UserError(
            f'{path}: variants must give each variant, by its name, the keys in which '
            'it differs: variants = dict(plain=dict(), glore=dict(model=…)); '
            f'got {variants!r}'
        )
    for name, overrides in variants.items():
        if not re.fullmatch(r'\w[\w.+-]*', name) or not isinstance(overrides, Mapping):
            raise UserError(
                f'{path}: variants has {name!r}: {overrides!r}. A name must be of '
                'letters, digits and . _ + -, its value a dict of config keys.'
            )
        for key, own in product(overridden, _replaced(overrides)):
            if f'{key}.'.startswith(f'{own}.') or own.startswith(f'{key}.'):
                raise UserError(
                    f'--cfg-options {key}: variant {name!r} of {path} has its own '
                    f'{own}, which this would not change, or not alike in all '
                    'variants. Write it into a config of your own.'
                )
    if not isinstance(metric, str):
        raise UserError(
            f"{path}: metric must name what is compared, such as 'mIoU'; got {metric!r}"
        )
    return Ablation(cfg, variants.to_dict(), metric, Path(out or cfg.work_dir))


def ablate(
    ablation: Ablation,
    seeds: Sequence[int],
    workers: Sequence[Worker] = (),
    test: str = 't',
) -> Summary:
    """Train what has not finished yet, and write the table anew with each run.

    Args:
        ablation (Ablation): From `read_ablation`.
        seeds (Sequence[int]): Each variant is trained with each.
        workers (Sequence[Worker]): Run at the same time. Default: this process alone.
        test (str): As for `paired_seeds`.

    Returns:
        Summary: The table.

    Raises:
        UserError: The ablation is wrong, or, after all others have ended, a run failed.
    """
    if len(seeds) < MIN_PAIRS[test] and test != 't':
        raise UserError(
            f'--test {test} needs {MIN_PAIRS[test]} seeds or more, got {len(seeds)}'
        )
    runs = ablation.finished()
    for variant in ablation.variants:
        ablation.cost(variant)  # a wrong one is found before anything is trained
    # by seed first: what is there after half of the time has every variant
    jobs = [
        (variant, seed)
        for seed in seeds
        for variant in ablation.variants
        if (variant, seed) not in runs
    ]
    workers = workers or [partial(train_one, ablation)]
    failed = []
    total = len(seeds) * len(ablation.variants)
    console = Console(file=sys.stderr, highlight=False)  # this one, whoever redirects
    progress = Progress(
        *Progress.get_default_columns(),
        TimeElapsedColumn(),
        MofNCompleteColumn(),
        console=console,
        redirect_stdout=False,
        redirect_stderr=False,
    )
    with progress:
        bar = progress.add_task('runs', total=total, completed=total - len(jobs))
        for (variant, seed), outcome in _outcomes(ablation, jobs, workers):
            progress.advance(bar)
            said = f'{variant}, seed {seed}: '
            if isinstance(outcome, Run):
                runs[variant, seed] = outcome
                _write(ablation, runs, test)
                said += f'{ablation.metric} {outcome.metrics[ablation.metric]:.2f}'
                said += f', trained in {outcome.seconds:.0f} s'
            else:
                log = Path(ablation.config(variant, seed).work_dir, 'console.log')
                failed.append(f'{variant}, seed {seed} ({outcome}; see {log})')
                said += f'failed: {outcome}'
            console.print(said, markup=False, soft_wrap=True)
    summary = _write(ablation, runs, test)
    if failed:
        raise UserError(
            f'{len(failed)} of {total} runs failed: {"; ".join(failed)}. The others '
            f'are in {ablation.out}; started again, only these are trained.'
        )
    return summary


def train_one(ablation: Ablation, variant: str, seed: int) -> None:
    """Train a variant in this process, test it, keep what came out.

    Whatever is printed meanwhile goes to `console.log` in the run's work dir. A run
    that has finished is left as it is.

    Args:
        ablation (Ablation): From `read_ablation`.
        variant (str): Which to train.
        seed (int): Of the weights and of the order of the samples.

    Raises:
        UserError: Another process is training it.
    """
    folder = Path(ablation.config(variant, seed).work_dir)
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(folder / 'training.lock', timeout=0):
            if ablation.file(variant, seed).exists():
                ablation.run(variant, seed)  # refused if it is of another config
            else:
                _train(ablation, variant, seed, folder)
    except Timeout as error:
        raise UserError(f'another process is training in {folder}') from error


def _train(ablation: Ablation, variant: str, seed: int, folder: Path) -> None:
    with (
        open(folder / 'console.log', 'w') as log,
        redirect_stdout(log),
        redirect_stderr(log),
    ):
        try:
            done = train_and_test(partial(ablation.config, variant, seed), seed)
        except TrainingInterrupted:  # a run of an ablation begins anew
            raise KeyboardInterrupt from None
        except Exception:
            traceback.print_exc()
            raise
    cost = ablation.cost(variant)
    run = Run(
        variant,
        seed,
        {k: float(v) for k, v in done.metrics.items() if np.ndim(v) == 0},
        cost.parameters,
        cost.macs,
        round(done.seconds, 1),
        _digest(ablation.config(variant, seed)),
        ablation.data,
        device_name(),
        f'torch {torch.__version__}, glore_mm {glore_mm.__version__}',
    )
    record = json.dumps(asdict(run), indent=2)
    write_text(ablation.file(variant, seed), record + '\n')


def in_processes(
    command: Sequence[str],
    count: int = 1,
    gpus: Sequence[str] = (),
    slurm: str | None = None,
) -> list[Worker]:
    """Workers that start each run as a process of its own.

    Args:
        command (Sequence[str]): Trains a single run; `--only VARIANT SEED` is added.
        count (int): How many at a time, here or as Slurm jobs. Default: 1.
        gpus (Sequence[str]): Instead: one at a time on each of these.
        slurm (str, optional): Instead: each as a job on one GPU of this partition.
            CPUS_PER_TASK and SRUN_ARGS in the environment change the job, as those of
            tools/slurm_train.sh.

    Returns:
        list[Worker]: One for each run that may go on at the same time.
    """
    if gpus:
        return [
            partial(_start, [*command], dict(CUDA_VISIBLE_DEVICES=gpu)) for gpu in gpus
        ]
    if slurm:
        cpus = os.environ.get('CPUS_PER_TASK', '4')
        srun = ['srun', '--partition', slurm, '--ntasks', '1', '--gres', 'gpu:1']
        srun += ['--cpus-per-task', cpus, *os.environ.get('SRUN_ARGS', '').split()]
        return [partial(_start, [*srun, *command], {})] * count
    threads = max(1, (os.cpu_count() or 1) // count)
    share = dict(OMP_NUM_THREADS=os.environ.get('OMP_NUM_THREADS', str(threads)))
    return [partial(_start, [*command], share)] * count


def _start(
    command: Sequence[str], environment: Mapping[str, str], variant: str, seed: int
) -> None:
    with subprocess.Popen(
        [*command, '--only', variant, str(seed)],
        env={**os.environ, **environment},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        _running.add(process)
        errors = process.communicate()[1]
        _running.remove(process)
    if process.returncode:
        said = errors.strip().splitlines() or ['it said nothing']
        said = [line for line in said if not line.startswith('srun: ')] or said
        reason = said[-1].removeprefix('error: ')
        raise RuntimeError(f'exit code {process.returncode}: {reason}')


def _outcomes(
    ablation: Ablation, jobs: Sequence[tuple[str, int]], workers: Sequence[Worker]
) -> Iterator[tuple[tuple[str, int], Run | str]]:
    """Each job as it ends, with its run, or the reason why there is none."""
    if len(workers) == 1:
        for job in jobs:
            yield job, _attempt(ablation, workers[0], job)
        return
    idle: SimpleQueue[Worker] = SimpleQueue()
    for worker in workers:
        idle.put(worker)

    def attempt(job: tuple[str, int]) -> Run | str:
        worker = idle.get()
        try:
            return _attempt(ablation, worker, job)
        finally:
            idle.put(worker)

    pool = ThreadPoolExecutor(len(workers))
    try:
        futures = {pool.submit(attempt, job): job for job in jobs}
        for future in as_completed(futures):
            yield futures[future], future.result()
    finally:  # interrupted: what has not begun does not begin, what runs ends
        pool.shutdown(wait=False, cancel_futures=True)
        for process in [*_running]:
            process.terminate()
        pool.shutdown()


def _attempt(ablation: Ablation, worker: Worker, job: tuple[str, int]) -> Run | str:
    try:
        worker(*job)
        return ablation.run(*job)
    except Exception as error:  # whatever a training raises: the others go on
        return error_message(error)


def _write(
    ablation: Ablation, runs: Mapping[tuple[str, int], Run], test: str
) -> Summary:
    from glore_mm.visualization.ablation_plot import draw_ablation
    from glore_mm.visualization.figures import write_figure

    summary = summarize(runs.values(), list(ablation.variants), ablation.metric, test)
    title = f'# {Path(ablation.cfg.filename).stem}'
    write_text(ablation.out / 'table.md', f'{title}\n\n{markdown(summary)}')
    write_text(ablation.out / 'table.csv', as_csv(summary))
    record = json.dumps(as_record(summary), indent=2)
    write_text(ablation.out / 'table.json', record + '\n')
    write_figure(draw_ablation(summary), str(ablation.out / 'plot.png'))
    return summary


def _replaced(overrides: Mapping[str, Any], above: str = '') -> Iterator[str]:
    """The keys, dotted, whose values are a variant's own, and not merged further."""
    for name, value in overrides.items():
        key = f'{above}{name}'
        if isinstance(value, Mapping) and value and not value.get('_delete_'):
            yield from _replaced(value, f'{key}.')
        else:
            yield key


def _digest(cfg: Config) -> str:
    """What tells a config from another, wherever its data and its results lie."""

    def plain(node: object) -> object:
        if isinstance(node, Mapping):
            left_out = ('work_dir', 'data_root')
            return {str(k): plain(v) for k, v in node.items() if k not in left_out}
        return list(map(plain, node)) if isinstance(node, list | tuple) else node

    text = json.dumps(plain(cfg.to_dict()), sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
