"""Plots of an ablation: each run by variant, and the comparison of the variants."""

import math
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from glore_mm.analysis.ablation import Summary

_WIDTH = 0.4  # of the points of a variant; the distance between variants is 1


def draw_ablation(summary: Summary) -> Figure:
    """Draw the metric of each run, and beside it how the variants compare.

    The comparison is the mean with its 95 % interval against MACs. Where the ablation
    has a threshold, it is the share of the runs that solved the task, with its exact
    interval.
    """
    figure = Figure(figsize=(9, 4.4), layout='constrained')
    of_runs, compared = figure.subplots(1, 2, sharey=summary.solved_at is None)
    for index, row in enumerate(summary.rows):
        color = 'black' if row.variant == summary.baseline else f'C{index % 10}'
        style: dict[str, Any] = dict(color=color, marker='os^Dv'[index // 10 % 5])
        sides = np.linspace(-_WIDTH / 2, _WIDTH / 2, len(row.values) + 2)[1:-1]
        of_runs.scatter(index + sides, sorted(row.values), s=16, alpha=0.7, **style)
        if row.solved is None:
            _errorbar(of_runs, index, row.mean, row.low, row.high, alpha=0.5, **style)
            _errorbar(compared, row.macs / 1e9, row.mean, row.low, row.high, **style)
        else:
            share = row.solved.count / len(row.values)
            ends = (row.solved.low, row.solved.high)
            percent = (100 * each for each in (share, *ends))
            _errorbar(compared, index, *percent, **style)
    named = [of_runs]
    of_runs.set_ylabel(f'{summary.metric}: runs, mean, 95 % interval')
    compared.set_xlabel('GMACs')
    if summary.solved_at is not None:
        named.append(compared)
        of_runs.axhline(summary.solved_at, color='0.6', linewidth=0.8)
        of_runs.set_ylim(-0.04 * summary.limit, 1.04 * summary.limit)
        of_runs.set_ylabel(f'{summary.metric} of each run')
        compared.set_ylim(-4, 104)
        compared.set_ylabel('solved, % of the runs, 95 % interval')
        compared.set_xlabel('')
    names = [row.variant for row in summary.rows]
    for axes in named:
        axes.set_xticks(range(len(names)), names, rotation=40, ha='right')
    for axes in (of_runs, compared):
        axes.grid(alpha=0.3)
        axes.spines[['top', 'right']].set_visible(False)
    return figure


def _errorbar(
    axes: Axes, x: float, y: float, low: float, high: float, **style: Any
) -> None:
    known = math.isfinite(low)  # a single run has no interval
    errors = [[y - low], [high - y]] if known else None
    axes.errorbar([x], [y], yerr=errors, capsize=3, linestyle='', **style)
