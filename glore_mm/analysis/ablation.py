"""The table of an ablation: results by variant, significance of differences."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from scipy import stats

from glore_mm.analysis.significance import (
    CONFIDENCE,
    Difference,
    holm,
    mean_interval,
    paired_seeds,
)
from glore_mm.utils.errors import UserError


@dataclass(frozen=True)
class Run:
    """A training of a variant, finished and tested.

    Attributes:
        variant (str): Its name in the ablation.
        seed (int): Seed of the training.
        metrics (dict[str, float]): Results of the test by metric.
        parameters (int): Number of parameters of the network.
        macs (int): Multiply-accumulate operations for one input.
        seconds (float): Duration of the training.
        config (str): Digest of the config that was trained.
        data (dict): Arguments that generated the data, or a digest of the paths and
            image labels of the user's samples; empty if it is unknown.
        hardware (str): Hardware of the training.
        software (str): Versions of the packages.
    """

    variant: str
    seed: int
    metrics: dict[str, float]
    parameters: int
    macs: int
    seconds: float
    config: str
    data: dict[str, Any]
    hardware: str
    software: str


@dataclass(frozen=True)
class Solved:
    """How many runs of a variant solved the task.

    Attributes:
        count (int): Runs whose metric reached the threshold.
        low (float): Lower end of the share's exact (Clopper-Pearson) 95 % interval.
        high (float): Upper end.
        p (float): p value of Fisher's exact test against the baseline; NaN for the
            baseline.
    """

    count: int
    low: float
    high: float
    p: float


@dataclass(frozen=True)
class Row:
    """The results of one variant.

    Attributes:
        variant (str): Its name.
        seeds (list[int]): Seeds of the finished runs.
        values (list[float]): The metric of each run.
        mean (float): Mean over the runs.
        std (float): Standard deviation, with n − 1; NaN of a single run.
        low (float): Lower end of the mean's 95 % interval.
        high (float): Upper end.
        difference (Difference | None): To the baseline, paired by seed; None of the
            baseline itself, and where too few seeds are shared.
        solved (Solved | None): In the place of `difference`, where the ablation has a
            threshold.
        p_holm (float): The p value, corrected for the number of variants.
        parameters (int): Number of parameters of the network.
        macs (int): For one input.
        seconds (float): Mean duration of a training.
    """

    variant: str
    seeds: list[int]
    values: list[float]
    mean: float
    std: float
    low: float
    high: float
    difference: Difference | None
    solved: Solved | None
    p_holm: float
    parameters: int
    macs: int
    seconds: float


@dataclass(frozen=True)
class Summary:
    """The table of an ablation.

    Attributes:
        metric (str): Name of the compared metric.
        limit (float): The largest value that the metric can have.
        solved_at (float | None): Value from which on a run has solved the task.
        baseline (str): The variant that the others are compared to.
        rows (list[Row]): One for each variant with a finished run.
        notes (list[str]): What the table leaves out, and why.
    """

    metric: str
    limit: float
    solved_at: float | None
    baseline: str
    rows: list[Row]
    notes: list[str]


def summarize(
    runs: Iterable[Run],
    variants: Sequence[str],
    metric: str,
    test: str = 't',
    limit: float = 100,
    solved_at: float | None = None,
) -> Summary:
    """Summarize the finished runs of an ablation.

    Args:
        runs (Iterable[Run]): The finished runs.
        variants (Sequence[str]): In the order of the table; the first is the baseline.
        metric (str): One of the metrics that the tests measured.
        test (str): As for `paired_seeds`. Default: 't'.
        limit (float): The metric lies between 0 and this; intervals are clipped to it.
            Default: 100.
        solved_at (float, optional): Count the runs that reach this value, and compare
            the counts, not the means: for a task that runs either solve or do not.

    Returns:
        Summary: Without the variants that have no finished run.

    Raises:
        UserError: A run has no such metric.
    """
    runs_of: dict[str, dict[int, Run]] = {name: {} for name in variants}
    for run in runs:
        if metric not in run.metrics:
            raise UserError(
                f'{run.variant}, seed {run.seed}: its test measured no {metric!r}; '
                f'it has: {", ".join(run.metrics)}'
            )
        runs_of[run.variant][run.seed] = run
    scores = {
        name: {seed: own[seed].metrics[metric] for seed in sorted(own)}
        for name, own in runs_of.items()
    }
    differences: dict[str, Difference | None] = {}
    solved: dict[str, Solved] = {}
    notes: list[str] = []
    if solved_at is None:
        differences, notes = _differences(scores, variants, test, limit)
        p_values = {n: d.p if d else math.nan for n, d in differences.items()}
    else:
        solved = _count_solved(scores, variants[0], solved_at)
        p_values = {name: each.p for name, each in solved.items()}
    corrected = dict(zip(p_values, holm([*p_values.values()]).tolist(), strict=True))

    rows = []
    for name in variants:
        own, values = [*runs_of[name].values()], [*scores[name].values()]
        if not own:
            notes.append(f'{name}: no run has finished')
            continue
        low, high = (float(np.clip(end, 0, limit)) for end in mean_interval(values))
        rows.append(
            Row(
                variant=name,
                seeds=[*scores[name]],
                values=values,
                mean=float(np.mean(values)),
                std=float(np.std(values, ddof=1)) if len(values) > 1 else math.nan,
                low=low,
                high=high,
                difference=differences.get(name),
                solved=solved.get(name),
                p_holm=corrected.get(name, math.nan),
                parameters=own[0].parameters,
                macs=own[0].macs,
                seconds=float(np.mean([run.seconds for run in own])),
            )
        )
    return Summary(metric, limit, solved_at, variants[0], rows, notes)


def _differences(
    scores: Mapping[str, Mapping[int, float]],
    variants: Sequence[str],
    test: str,
    limit: float,
) -> tuple[dict[str, Difference | None], list[str]]:
    """Compare each variant to the first, paired by seed; with notes on the others."""
    found: dict[str, Difference | None] = {}
    notes = []
    base = scores[variants[0]]
    for name in variants[1:]:
        shared = sorted(base.keys() & scores[name].keys())
        try:
            gain = paired_seeds(
                [base[seed] for seed in shared],
                [scores[name][seed] for seed in shared],
                test,
            )
            low, high = (
                float(np.clip(e, -limit, limit)) for e in (gain.low, gain.high)
            )
            found[name] = replace(gain, low=low, high=high)
        except UserError as error:
            found[name] = None
            notes.append(f'{name}: {error}')
    return found, notes


def _count_solved(
    scores: Mapping[str, Mapping[int, float]], baseline: str, solved_at: float
) -> dict[str, Solved]:
    """Count the runs of each variant that reach a value; compare to the baseline."""
    counts = {
        name: (sum(value >= solved_at for value in own.values()), len(own))
        for name, own in scores.items()
        if own
    }
    found = {}
    for name, (count, runs) in counts.items():
        interval = stats.binomtest(count, runs).proportion_ci(CONFIDENCE, 'exact')
        p = math.nan
        if name != baseline and baseline in counts:
            table = [[k, n - k] for k, n in (counts[baseline], (count, runs))]
            p = float(stats.fisher_exact(table).pvalue)
        found[name] = Solved(count, float(interval.low), float(interval.high), p)
    return found


def markdown(summary: Summary) -> str:
    """The table as Markdown."""
    make = _mean_table if summary.solved_at is None else _solved_table
    lines = make(summary)
    lines += ['', *summary.notes] if summary.notes else []
    return '\n'.join(lines) + '\n'


def _mean_table(summary: Summary) -> list[str]:
    metric, base, n = summary.metric, summary.baseline, decimals(summary.limit)
    lines = [
        f'| variant | runs | {metric} | 95 % interval | least to most | minus {base} '
        '| 95 % interval | p | p, Holm | parameters | GMACs | training |',
        '|---|---|---|---|---|---|---|---|---|---|---|---|',
    ]
    for row in summary.rows:
        gain = row.difference
        compared = '| | | | '
        if gain:
            compared = (
                f'| {gain.value:+.{n}f} | {_interval(gain.low, gain.high, f"+.{n}f")} '
                f'| {_p(gain)} | {row.p_holm:.3g} '
            )
        spread = f' ± {row.std:.{n}f}' if len(row.seeds) > 1 else ''
        lines.append(
            f'| {row.variant} | {len(row.seeds)} | {row.mean:.{n}f}{spread} '
            f'| {_interval(row.low, row.high, f".{n}f")} '
            f'| {_interval(min(row.values), max(row.values), f".{n}f")} {compared}'
            f'{_cost(row)}'
        )
    tests = dict.fromkeys(r.difference.test for r in summary.rows if r.difference)
    if tests:
        lines += [
            '',
            f'± standard deviation over seeds. p: {", ".join(tests)}. Intervals are t',
            f'intervals, clipped to 0 to {summary.limit:g}; of equal runs they have no '
            'width.',
        ]
    return lines


def decimals(limit: float) -> int:
    """Return the decimals to show of a metric: 2 for a limit of 100, 4 for 1."""
    return max(1, 4 - round(math.log10(limit)))


def _solved_table(summary: Summary) -> list[str]:
    n = decimals(summary.limit)
    lines = [
        f'| variant | solved | 95 % interval | {summary.metric} of each run | p '
        '| p, Holm | parameters | GMACs | training |',
        '|---|---|---|---|---|---|---|---|---|',
    ]
    for row in summary.rows:
        assert row.solved
        values = ', '.join(f'{value:.{n - 1}f}' for value in sorted(row.values))
        p = [f'{p:.3g}' if math.isfinite(p) else '' for p in (row.solved.p, row.p_holm)]
        lines.append(
            f'| {row.variant} | {row.solved.count} of {len(row.seeds)} '
            f'| {100 * row.solved.low:.0f} to {100 * row.solved.high:.0f} % | {values} '
            f'| {" | ".join(p)} {_cost(row)}'
        )
    return [
        *lines,
        '',
        f'Solved: {summary.metric} of {summary.solved_at:g} or more, with the exact',
        f"(Clopper-Pearson) interval of the share. p: Fisher's exact test against "
        f'{summary.baseline}.',
    ]


def _cost(row: Row) -> str:
    return f'| {row.parameters:,} | {row.macs / 1e9:.3f} | {row.seconds:.0f} s |'


def as_rows(summary: Summary) -> list[dict[str, Any]]:
    """The rows of the table for CSV, a column for every number."""
    return [
        {
            key: ' '.join(map(str, value)) if isinstance(value, list) else value
            for key, value in _flat(row).items()
        }
        for row in summary.rows
    ]


def as_record(summary: Summary) -> dict[str, Any]:
    """The table as a record for JSON; an unknown value is None."""
    rows = [
        {key: _plain(value) for key, value in _flat(row).items()}
        for row in summary.rows
    ]
    return dict(
        metric=summary.metric,
        baseline=summary.baseline,
        notes=summary.notes,
        rows=rows,
    )


def _flat(row: Row) -> dict[str, Any]:
    """A row with the numbers of its comparison beside its own."""
    values = asdict(row)
    difference = values.pop('difference') or {}
    solved = values.pop('solved') or {}
    names = ('value', 'low', 'high', 'p', 'smallest_p', 'test', 'count')
    values |= {f'difference_{name}': difference.get(name) for name in names}
    names = ('count', 'low', 'high', 'p')
    return values | {f'solved_{name}': solved.get(name) for name in names}


def _plain(value: object) -> object:
    return None if isinstance(value, float) and math.isnan(value) else value


def _interval(low: float, high: float, style: str) -> str:
    return '' if math.isnan(low) else f'{low:{style}} to {high:{style}}'


def _p(difference: Difference) -> str:
    text = f'{difference.p:.3g}'
    if difference.smallest_p:
        text += f' (smallest possible {difference.smallest_p:.3g})'
    return text
