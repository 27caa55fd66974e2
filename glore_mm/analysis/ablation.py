"""What the runs of an ablation say: a table, and which gains are significant."""

import csv
import io
import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from glore_mm.analysis.significance import Difference, holm, mean_interval, paired_seeds
from glore_mm.utils.errors import UserError


@dataclass(frozen=True)
class Run:
    """One training of one variant, finished and tested.

    Attributes:
        variant (str): Its name in the ablation.
        seed (int): Of the training.
        metrics (dict[str, float]): What the test measured.
        parameters (int): Of the network.
        macs (int): Multiply-accumulate operations for one input.
        seconds (float): What the training took.
        config (str): Digest of the config that was trained.
        data (dict): What its data were generated with; empty of other data.
        hardware (str): What it was trained on.
        software (str): Versions.
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
class Row:
    """What the runs of one variant say.

    Attributes:
        variant (str): Its name.
        seeds (list[int]): Those that finished.
        values (list[float]): The metric of each.
        mean (float): Over them.
        std (float): Standard deviation, with n − 1; NaN of a single run.
        low (float): Lower end of the mean's 95 % interval.
        high (float): Upper end.
        difference (Difference | None): To the baseline, paired by seed; None of the
            baseline itself, and where too few seeds are shared.
        p_holm (float): The difference's p value, corrected for the number of variants.
        parameters (int): Of the network.
        macs (int): For one input.
        seconds (float): Of a training, the mean.
    """

    variant: str
    seeds: list[int]
    values: list[float]
    mean: float
    std: float
    low: float
    high: float
    difference: Difference | None
    p_holm: float
    parameters: int
    macs: int
    seconds: float


@dataclass(frozen=True)
class Summary:
    """An ablation's table.

    Attributes:
        metric (str): What was compared.
        baseline (str): The variant that the others are compared to.
        rows (list[Row]): One for each variant with a finished run.
        notes (list[str]): What the table leaves out, and why.
    """

    metric: str
    baseline: str
    rows: list[Row]
    notes: list[str]


def summarize(
    runs: Iterable[Run], variants: Sequence[str], metric: str, test: str = 't'
) -> Summary:
    """Sum up an ablation.

    Args:
        runs (Iterable[Run]): The finished ones.
        variants (Sequence[str]): In the order of the table; the first is the baseline.
        metric (str): One of those that the runs' tests measured.
        test (str): As for `paired_seeds`. Default: 't'.

    Returns:
        Summary: Without the variants of which no run has finished.

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
    notes = []
    base = scores[variants[0]]
    for name in variants[1:]:
        shared = sorted(base.keys() & scores[name].keys())
        try:
            differences[name] = paired_seeds(
                [base[seed] for seed in shared],
                [scores[name][seed] for seed in shared],
                test,
            )
        except UserError as error:
            differences[name] = None
            notes.append(f'{name}: {error}')
    p_values = [d.p if d else math.nan for d in differences.values()]
    corrected = dict(zip(differences, holm(p_values).tolist(), strict=True))

    rows = []
    for name in variants:
        own, values = [*runs_of[name].values()], [*scores[name].values()]
        if not own:
            notes.append(f'{name}: no run has finished')
            continue
        low, high = mean_interval(values)
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
                p_holm=corrected.get(name, math.nan),
                parameters=own[0].parameters,
                macs=own[0].macs,
                seconds=float(np.mean([run.seconds for run in own])),
            )
        )
    return Summary(metric, variants[0], rows, notes)


def markdown(summary: Summary) -> str:
    """The table for people."""
    metric, base = summary.metric, summary.baseline
    lines = [
        f'| variant | runs | {metric} | 95 % interval | least to most | less {base} '
        '| 95 % interval | p | p, Holm | parameters | GMACs | training |',
        '|---|---|---|---|---|---|---|---|---|---|---|---|',
    ]
    for row in summary.rows:
        gain = row.difference
        compared = '| | | | '
        if gain:
            compared = (
                f'| {gain.value:+.2f} | {_interval(gain.low, gain.high, "+.2f")} '
                f'| {_p(gain)} | {row.p_holm:.3g} '
            )
        spread = f' ± {row.std:.2f}' if len(row.seeds) > 1 else ''
        lines.append(
            f'| {row.variant} | {len(row.seeds)} | {row.mean:.2f}{spread} '
            f'| {_interval(row.low, row.high, ".2f")} '
            f'| {_interval(min(row.values), max(row.values), ".2f")} {compared}'
            f'| {row.parameters:,} | {row.macs / 1e9:.3f} | {row.seconds:.0f} s |'
        )
    tests = dict.fromkeys(r.difference.test for r in summary.rows if r.difference)
    if tests:
        lines += [
            '',
            f'± standard deviation over seeds. p: {", ".join(tests)}.',
            "Intervals are Student's. Of few and scattered runs they reach beyond",
            'what the metric can be; of runs that are all equal they have no width.',
        ]
    lines += ['', *summary.notes] if summary.notes else []
    return '\n'.join(lines) + '\n'


def as_csv(summary: Summary) -> str:
    """The table for spreadsheets, a column for every number."""
    file = io.StringIO()
    records = [
        {
            key: ' '.join(map(str, value)) if isinstance(value, list) else value
            for key, value in _flat(row).items()
        }
        for row in summary.rows
    ]
    writer = csv.DictWriter(file, list(records[0]) if records else [])
    writer.writeheader()
    writer.writerows(records)
    return file.getvalue()


def as_record(summary: Summary) -> dict[str, Any]:
    """The table for programs; what is not known is None."""
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
    """A row with its difference's numbers beside its own."""
    values = asdict(row)
    difference = values.pop('difference') or {}
    names = ('value', 'low', 'high', 'p', 'smallest_p', 'test', 'count')
    compared = {f'difference_{name}': difference.get(name) for name in names}
    return values | compared


def _plain(value: object) -> object:
    return None if isinstance(value, float) and math.isnan(value) else value


def _interval(low: float, high: float, style: str) -> str:
    return '' if math.isnan(low) else f'{low:{style}} to {high:{style}}'


def _p(difference: Difference) -> str:
    text = f'{difference.p:.3g}'
    if difference.smallest_p:
        text += f' (smallest possible {difference.smallest_p:.3g})'
    return text
