"""Train the variants of a config with several seeds and compare their results."""

import copy
import json
import math
import os
import re
import sys
import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import redirect_stderr, redirect_stdout, suppress
from dataclasses import asdict, dataclass, field
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.config import Config, ConfigDict
from mmengine.logging import MMLogger
from rich.console import Console
from rich.progress import MofNCompleteColumn, Progress, TimeElapsedColumn

import glore_mm
from glore_mm.analysis.ablation import (
    Run,
    Summary,
    as_record,
    as_rows,
    decimals,
    markdown,
    summarize,
)
from glore_mm.analysis.cost import Cost
from glore_mm.analysis.significance import MIN_PAIRS
from glore_mm.apis.cost import network_cost
from glore_mm.apis.parallel import Job, Worker, run_jobs
from glore_mm.apis.train import train_and_test
from glore_mm.config.build import build_model
from glore_mm.config.digest import config_digest, describe_data
from glore_mm.config.load import check_keys, load_config, override
from glore_mm.engine.runner import work_dir_lock
from glore_mm.utils.atomic_write import write_csv, write_json, write_text
from glore_mm.utils.device import device_name
from glore_mm.utils.errors import TrainingInterrupted, UserError, error_message


@dataclass(frozen=True)
class Ablation:
    """Variants of one config, and the folder of their results.

    Attributes:
        cfg (Config): The config that the variants share.
        variants (dict[str, dict]): Overrides of config keys by variant name. The first
            variant is the baseline.
        metric (str): Name of the metric to compare.
        out (Path): Folder of the finished runs and the table.
        limit (float): Largest value that the metric can have.
        solved_at (float, optional): Value from which on a run has solved the task.
    """

    cfg: Config
    variants: dict[str, dict[str, Any]]
    metric: str
    out: Path
    limit: float = 100
    solved_at: float | None = None
    _data: dict[str, dict[str, Any]] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    def config(self, variant: str, seed: int = 0) -> Config:
        """Return the config of a run."""
        cfg = copy.deepcopy(self.cfg)
        override(cfg, copy.deepcopy(self.variants[variant]))
        cfg.work_dir = os.path.join(self.cfg.work_dir, variant, f'seed{seed}')
        return cfg

    def cost(self, variant: str) -> Cost:
        """Count parameters and operations of a variant's network.

        Raises:
            UserError: The network cannot be built or run.
        """
        cfg = self.config(variant)
        try:
            return network_cost(cfg, build_model(cfg))
        except Exception as error:  # any layer may raise any type
            raise UserError(f'variant {variant!r}: {error_message(error)}') from error

    def file(self, variant: str, seed: int) -> Path:
        """Return the path of the file that a finished run is written to."""
        return self.out / 'runs' / f'{variant}_seed{seed}.json'

    def finished(self) -> dict[tuple[str, int], Run]:
        """Read the finished runs, by variant and seed.

        Raises:
            UserError: A file is damaged or belongs to another run, config or data set.
        """
        names = [file.name for file in self.out.glob('runs/*.json')]
        return {
            (variant, int(found[1])): self.run(variant, int(found[1]))
            for variant in self.variants
            for name in names
            if (found := re.fullmatch(rf'{re.escape(variant)}_seed(\d+)\.json', name))
        }

    def run(self, variant: str, seed: int) -> Run:
        """Read a finished run; raises the same errors as `finished`."""
        file = self.file(variant, seed)
        try:
            run = Run(**json.loads(file.read_text()))
        except (OSError, ValueError, TypeError) as error:
            raise UserError(
                f'{file} cannot be read as a finished run: {error}. Remove it to train '
                'the run again.'
            ) from error
        found = ''
        if (run.variant, run.seed) != (variant, seed):
            found = f'{run.variant!r}, seed {run.seed}'
        elif run.config != config_digest(self.config(variant)):
            found = (
                f'another config than the present {variant!r} of {self.cfg.filename}'
            )
        elif run.data and (data := self.data(variant)) and data != run.data:
            found = f'other data: {run.data}, not {data}'
        if found:
            raise UserError(
                f'{file} is from {found}. Remove it, or give another --work-dir or '
                '--out.'
            )
        return run

    def data(self, variant: str) -> dict[str, Any]:
        """Return the arguments that generated a variant's data, or a digest of them.

        Empty if the data sets cannot be read.
        """
        cfg = self.config(variant)
        key = str([cfg[f'{loop}_dataloader'].dataset for loop in ('train', 'test')])
        if key not in self._data:
            self._data[key] = {}
            with suppress(UserError):
                self._data[key] = describe_data(cfg)
        return self._data[key]


def read_ablation(
    path: str,
    options: Mapping[str, Any] | Sequence[str] | None = None,
    work_dir: str | None = None,
    out: str | None = None,
    baseline: str | None = None,
) -> Ablation:
    """Read a config with `variants` and `metric`.

    Optional keys are `metric_limit`, the largest value that the metric can have, 100 by
    default, and `solved_at`: runs that reach this value are counted as solved, and the
    counts are compared, not the means.

    Args:
        path (str): The config file.
        options (Mapping | Sequence[str], optional): Keys to override in all variants,
            as for `load_config`. Keys that a variant overrides are not allowed.
        work_dir (str, optional): Folder of logs and checkpoints. Default: as for
            `load_config`.
        out (str, optional): Folder of finished runs and the table. Default: `work_dir`.
        baseline (str, optional): The variant to compare the others with. Default: the
            first one.

    Raises:
        UserError: The config has no valid `variants` or `metric`, a limit or threshold
            is not a number, nothing reads a key of a variant, an option overrides it,
            or there is no variant `baseline`.
    """
    cfg = load_config(path, options, work_dir)
    overridden = [option.partition('=')[0] for option in options or ()]
    variants, metric = cfg.pop('variants', None), cfg.pop('metric', None)
    if not isinstance(variants, ConfigDict) or not variants:
        raise UserError(
            f'{path}: variants must be a dict with the overridden keys of each variant '
            'by its name: variants = dict(plain=dict(), glore=dict(model=…)); '
            f'got {variants!r}'
        )
    for name, overrides in variants.items():
        if not re.fullmatch(r'\w[\w.+-]*', name) or not isinstance(overrides, Mapping):
            raise UserError(
                f'{path}: variants has {name!r}: {overrides!r}. A name must consist of '
                'letters, digits and . _ + -, and its value must be a dict of config '
                'keys.'
            )
        check_keys(_override_keys(overrides), cfg, f'variant {name!r}: ')
        for key, own in product(overridden, _override_keys(overrides)):
            if f'{key}.'.startswith(f'{own}.') or own.startswith(f'{key}.'):
                raise UserError(
                    f'--cfg-options {key}: variant {name!r} of {path} overrides {own}, '
                    'so this option would not have the same effect in all variants. '
                    'Write it into a config of your own.'
                )
    if not isinstance(metric, str):
        raise UserError(
            f'{path}: metric must be the name of the metric to compare, such as '
            f"'mIoU'; got {metric!r}"
        )
    limit, solved_at = cfg.pop('metric_limit', 100), cfg.pop('solved_at', None)
    if not (isinstance(limit, int | float) and 0 < limit < math.inf):
        raise UserError(f'{path}: metric_limit must be a number above 0, got {limit!r}')
    if not isinstance(solved_at, int | float | None):
        raise UserError(f'{path}: solved_at must be a number, got {solved_at!r}')
    if baseline is not None and baseline not in variants:
        raise UserError(
            f'--baseline {baseline}: no such variant in {path}. It has '
            f'{", ".join(variants)}.'
        )
    variants = variants.to_dict()
    if baseline:
        variants = {baseline: variants[baseline], **variants}
    return Ablation(cfg, variants, metric, Path(out or cfg.work_dir), limit, solved_at)


def ablate(
    ablation: Ablation,
    seeds: Sequence[int],
    workers: Sequence[Worker] = (),
    test: str = 't',
) -> Summary:
    """Train the runs that have not finished, and update the table after each.

    Args:
        ablation (Ablation): From `read_ablation`.
        seeds (Sequence[int]): Seeds to train each variant with.
        workers (Sequence[Worker]): Workers that run in parallel. Default: this process.
        test (str): Significance test, as for `paired_seeds`.

    Returns:
        Summary: The table.

    Raises:
        UserError: The ablation is invalid, or a run failed. Failed runs are reported
            after all other runs have ended.
    """
    if len(seeds) < MIN_PAIRS[test] and test != 't':
        raise UserError(
            f'--test {test} needs {MIN_PAIRS[test]} seeds or more, got {len(seeds)}'
        )
    runs = ablation.finished()
    for variant in ablation.variants:
        ablation.cost(variant)  # finds an invalid variant before training begins
    # seed by seed, so that an unfinished table has all variants
    jobs = [
        (variant, seed)
        for seed in seeds
        for variant in ablation.variants
        if (variant, seed) not in runs
    ]
    workers = workers or [partial(train_one, ablation)]
    failed = []
    total = len(seeds) * len(ablation.variants)
    # the original stderr, as a run redirects sys.stderr to its log
    console = Console(file=sys.stderr, highlight=False)
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
        for (variant, seed), outcome in run_jobs(
            partial(_attempt, ablation), jobs, workers
        ):
            progress.advance(bar)
            line = f'{variant}, seed {seed}: '
            if isinstance(outcome, Run):
                runs[variant, seed] = outcome
                _write(ablation, runs, test)
                value = outcome.metrics[ablation.metric]
                line += f'{ablation.metric} {value:.{decimals(ablation.limit)}f}'
                line += f', trained in {outcome.seconds:.0f} s'
            else:
                log = Path(ablation.config(variant, seed).work_dir, 'console.log')
                failed.append(f'{variant}, seed {seed} ({outcome}; see {log})')
                line += f'failed: {outcome}'
            console.print(line, markup=False, soft_wrap=True)
    summary = _write(ablation, runs, test)
    if failed:
        raise UserError(
            f'{len(failed)} of {total} runs failed: {"; ".join(failed)}. The others '
            f'are in {ablation.out}. Start again to train only the failed ones.'
        )
    return summary


def train_one(ablation: Ablation, variant: str, seed: int) -> None:
    """Train and test a variant in this process, and write the result.

    Console output goes to `console.log` in the run's work dir. A finished run is not
    trained again.

    Args:
        ablation (Ablation): From `read_ablation`.
        variant (str): Name of the variant.
        seed (int): Seed of the initial weights and of the order of the samples.

    Raises:
        UserError: Another process is training it.
    """
    folder = ablation.config(variant, seed).work_dir
    with work_dir_lock(folder):
        if ablation.file(variant, seed).exists():
            ablation.run(variant, seed)  # raises if it is from another config
        else:
            _train(ablation, variant, seed, Path(folder))


def _train(ablation: Ablation, variant: str, seed: int, folder: Path) -> None:
    with (
        open(folder / 'console.log', 'w') as log,
        redirect_stdout(log),
        redirect_stderr(log),
    ):
        try:
            done = train_and_test(partial(ablation.config, variant, seed), seed)
            cost = ablation.cost(variant)
        except TrainingInterrupted:  # runs of an ablation are not resumed
            raise KeyboardInterrupt from None
        except Exception:
            traceback.print_exc()
            raise
        finally:  # mmengine keeps the logger of the run, which writes to the log
            MMLogger._instance_dict.clear()
    run = Run(
        variant,
        seed,
        {k: float(v) for k, v in done.metrics.items() if np.ndim(v) == 0},
        cost.parameters,
        cost.macs,
        round(done.seconds, 1),
        config_digest(ablation.config(variant, seed)),
        ablation.data(variant),
        device_name(),
        f'torch {torch.__version__}, glore_mm {glore_mm.__version__}',
    )
    write_json(ablation.file(variant, seed), asdict(run))


def _attempt(ablation: Ablation, worker: Worker, job: Job) -> Run | str:
    try:
        worker(*job)
        return ablation.run(*job)
    except Exception as error:  # of any type; the other runs continue
        return error_message(error)


def _write(
    ablation: Ablation, runs: Mapping[tuple[str, int], Run], test: str
) -> Summary:
    from glore_mm.visualization.ablation_plot import draw_ablation
    from glore_mm.visualization.figures import write_figure

    summary = summarize(
        runs.values(),
        list(ablation.variants),
        ablation.metric,
        test,
        ablation.limit,
        ablation.solved_at,
    )
    title = f'# {Path(ablation.cfg.filename).stem}'
    write_text(ablation.out / 'table.md', f'{title}\n\n{markdown(summary)}')
    rows = as_rows(summary)
    write_csv(ablation.out / 'table.csv', list(rows[0]) if rows else [], rows)
    write_json(ablation.out / 'table.json', as_record(summary))
    write_figure(draw_ablation(summary), str(ablation.out / 'plot.png'))
    return summary


def _override_keys(overrides: Mapping[str, Any], above: str = '') -> Iterator[str]:
    """Yield the dotted keys whose values a variant replaces instead of merging."""
    for name, value in overrides.items():
        key = f'{above}{name}'
        if isinstance(value, Mapping) and value and not value.get('_delete_'):
            yield from _override_keys(value, f'{key}.')
        else:
            yield key
