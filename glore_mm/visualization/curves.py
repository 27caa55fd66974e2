"""Curves of trainings, drawn."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from glore_mm.analysis.logs import Curve
from glore_mm.utils.errors import UserError

LINES = ('-', '--', ':', '-.')  # when the colours have been used up


def default_keys(runs: Mapping[str, Mapping[str, Curve]]) -> list[str]:
    """The loss of training, and all that validation measured in any of the runs."""
    curves = [curve for run in runs.values() for curve in run.values()]
    return ['loss', *dict.fromkeys(c.key for c in curves if c.source == 'val')]


def draw_curves(
    runs: Mapping[str, Mapping[str, Curve]], keys: Sequence[str], smooth: int = 1
) -> Figure:
    """Draw a panel for each key, a line for each run.

    Args:
        runs (Mapping[str, Mapping[str, Curve]]): As `read_runs` returns them.
        keys (Sequence[str]): What to draw.
        smooth (int): Lines of training are means over this many values, the values
            themselves pale behind them. Default: 1.

    Raises:
        UserError: No run has such a key.
    """
    known = dict.fromkeys(key for run in runs.values() for key in run)
    for key in keys:
        if key not in known:
            raise UserError(
                f'no {key} in the logs of {", ".join(runs)}; there are: '
                f'{", ".join(known)}. Give some of these as --keys.'
            )
    styles: dict[str, dict[str, Any]] = {
        name: dict(color=f'C{index % 10}', linestyle=LINES[index // 10 % len(LINES)])
        for index, name in enumerate(runs)
    }
    rows = math.ceil(len(keys) / 3)
    columns = math.ceil(len(keys) / rows)
    height = 3.4 * rows + 0.25 * math.ceil(len(runs) / columns)
    figure = Figure(figsize=(4.8 * columns, height), layout='constrained')
    for place, key in enumerate(keys, start=1):
        axes = figure.add_subplot(rows, columns, place)
        drawn = {name: curves[key] for name, curves in runs.items() if key in curves}
        for name, curve in drawn.items():
            values = curve.values
            if smooth > 1 and curve.source == 'train':
                axes.plot(curve.steps, values, **styles[name], alpha=0.25)
                values = _means(values, smooth)
            marker = 'o' if curve.source == 'val' or len(values) == 1 else None
            axes.plot(
                curve.steps, values, **styles[name], marker=marker, markersize=3.5
            )
        axes.set_title(key)
        axes.set_xlabel(' or '.join(dict.fromkeys(c.unit for c in drawn.values())))
        axes.set_xlim(left=0)
        axes.xaxis.set_major_locator(MaxNLocator(5, integer=True, steps=[1, 2, 5]))
        axes.grid(alpha=0.3)
        axes.spines[['top', 'right']].set_visible(False)
    handles = [Line2D([], [], label=name, **style) for name, style in styles.items()]
    figure.legend(
        handles=handles, loc='outside lower center', ncols=columns, frameon=False
    )
    return figure


def _means(values: Sequence[float], window: int) -> list[float]:
    """The mean of each value and those before it, `window` of them."""
    ends = range(1, len(values) + 1)
    return [float(np.mean(values[max(0, end - window) : end])) for end in ends]
