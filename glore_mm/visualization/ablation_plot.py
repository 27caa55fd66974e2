"""An ablation, drawn: what each variant reaches, and against what it costs."""

import math

from matplotlib.figure import Figure

from glore_mm.analysis.ablation import Summary


def draw_ablation(summary: Summary) -> Figure:
    """Draw the metric by variant and against MACs, means with 95 % intervals.

    Runs are dots. The axis follows them: intervals of few and scattered runs, which
    reach far beyond, are cut off.
    """
    figure = Figure(figsize=(9, 4.4), layout='constrained')
    by_name, by_cost = figure.subplots(1, 2, sharey=True)
    for index, row in enumerate(summary.rows):
        color = 'black' if row.variant == summary.baseline else f'C{index % 10}'
        known = math.isfinite(row.low)  # not of a single run
        errors = [[row.mean - row.low], [row.high - row.mean]] if known else None
        for axes, place in ((by_name, index), (by_cost, row.macs / 1e9)):
            axes.errorbar(
                [place],
                [row.mean],
                yerr=errors,
                fmt='os^Dv'[index // 10 % 5],
                color=color,
                capsize=3,
            )
        beside = [index + 0.25] * len(row.values)
        by_name.scatter(beside, row.values, s=12, color=color, alpha=0.6)
    values = [v for row in summary.rows for v in row.values if math.isfinite(v)]
    if values:
        spread = max(values) - min(values) or 1.0
        by_name.set_ylim(
            max(by_name.get_ylim()[0], min(values) - spread / 2),
            min(by_name.get_ylim()[1], max(values) + spread / 2),
        )
    names = [row.variant for row in summary.rows]
    by_name.set_xticks(range(len(names)), names, rotation=40, ha='right')
    by_name.set_ylabel(f'{summary.metric}: runs, mean, 95 % interval')
    by_cost.set_xlabel('GMACs')
    for axes in (by_name, by_cost):
        axes.grid(alpha=0.3)
        axes.spines[['top', 'right']].set_visible(False)
    return figure
