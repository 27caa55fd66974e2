"""An ablation, drawn: what each variant reaches against what it costs."""

from matplotlib.figure import Figure

from glore_mm.analysis.ablation import Summary


def draw_ablation(summary: Summary) -> Figure:
    """Draw the metric against MACs, a point for each variant, with 95 % intervals."""
    figure = Figure(figsize=(7.2, 4.4), layout='constrained')
    axes = figure.add_subplot()
    for index, row in enumerate(summary.rows):
        known = row.low == row.low  # NaN of a single run
        errors = [[row.mean - row.low], [row.high - row.mean]] if known else None
        axes.errorbar(
            [row.macs / 1e9],
            [row.mean],
            yerr=errors,
            fmt='os^Dv'[index // 10 % 5],
            color='black' if row.variant == summary.baseline else f'C{index % 10}',
            capsize=3,
            label=row.variant,
        )
    axes.set(xlabel='GMACs', ylabel=f'{summary.metric}, mean and 95 % interval')
    axes.grid(alpha=0.3)
    axes.spines[['top', 'right']].set_visible(False)
    figure.legend(loc='outside right center', frameon=False)
    return figure
