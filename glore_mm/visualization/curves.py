"""Plots of training curves."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from glore_mm.analysis.logs import Curve
from glore_mm.utils.errors import UserError

LINES = ('-', '--', ':', '-.')  # the next style after every 10 colours


def default_keys(runs: Mapping[str, Mapping[str, Curve]]) -> list[str]:
    """Return the keys of the training loss and of all validation metrics."""
    curves = [curve for run in runs.values() for curve in run.values()]
    return ['loss', *dict.fromkeys(c.key for c in curves if c.source == 'val')]


def draw_curves(
    runs: Mapping[str, Mapping[str, Curve]], keys: Sequence[str], smooth: int = 1
) -> Figure:
    """Draw a panel for each key with a line for each run.

    Args:
        runs (Mapping[str, Mapping[str, Curve]]): From `read_runs`.
        keys (Sequence[str]): Keys to draw.
        smooth (int): Window of the moving mean over training values. Above 1, the
            values themselves are drawn in a pale colour behind it. Default: 1.

    Raises:
        UserError: No run has one of the keys.
    """
    known = dict.fromkeys(key for run in runs.values() for key in run)
    for key in keys:
        if key not in known:
            raise UserError(
                f'no {key} in the logs of {", ".join(runs)}; found: '
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
    """Return the moving mean over the last `window` values."""
    ends = range(1, len(values) + 1)
    return [float(np.mean(values[max(0, end - window) : end])) for end in ends]
