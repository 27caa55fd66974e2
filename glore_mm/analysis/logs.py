"""Read mmengine's training logs from work dirs."""

import json
import math
import os
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import count, takewhile
from pathlib import Path
from typing import Any, NamedTuple

from glore_mm.utils.errors import UserError, summarize_list

LOG = 'vis_data/scalars.json'  # in a timestamped folder for each start of a run


class _Line(NamedTuple):
    source: str
    unit: str
    step: int
    scalars: dict[str, float]


@dataclass
class Curve:
    """The logged values of one key in a run.

    Attributes:
        key (str): The key.
        source (str): 'train', 'val', or 'hook' if another hook than LoggerHook logged
            it.
        unit (str): Unit of the steps: 'iteration', 'epoch', or 'step' if a hook chose
            it.
        steps (tuple[int, ...]): Steps of the n values.
        values (tuple[float, ...]): The n values.
    """

    key: str
    source: str
    unit: str
    steps: tuple[int, ...]
    values: tuple[float, ...]

    def summary(self) -> str:
        """Describe the last value and, for validation, the best one.

        The best value is the highest; for a key with 'loss' it is the lowest.
        """
        last, step = self.values[-1], self.steps[-1]
        if self.source != 'val':
            return f'{self.key} {last:.4g} at {self.unit} {step}'
        sign = -1 if 'loss' in self.key else 1  # as mmengine's save_best does
        best, when = max(
            zip(self.values, self.steps, strict=True),
            key=lambda point: (not math.isnan(point[0]), sign * point[0]),
        )
        return (
            f'{self.key} best {best:.4g} at {self.unit} {when}, '
            f'last {last:.4g} at {step}'
        )


def read_runs(work_dirs: Sequence[str]) -> dict[str, dict[str, Curve]]:
    """Read the curves of several runs.

    Args:
        work_dirs (Sequence[str]): Work dir of each run; duplicates count once.

    Returns:
        dict[str, dict[str, Curve]]: Curves by key, by the name of the run. The name is
        the end of the work dir's path, as short as it is unique.

    Raises:
        UserError: As for `read_run`.
    """
    paths = {Path(os.path.abspath(folder)): folder for folder in work_dirs}
    runs = {}
    for path, folder in paths.items():
        others = [other.parts for other in paths if other != path]
        ends = (path.parts[-length:] for length in count(1))
        end = next(e for e in ends if all(o[-len(e) :] != e for o in others))
        runs[str(Path(*end))] = read_run(folder)
    return runs


def read_run(work_dir: str) -> dict[str, Curve]:
    """Read the curves of a run, which may be resumed or still training.

    After a resume, the values of the later start replace those of earlier ones from its
    first step on. Ignores starts without training steps and an incomplete last line.

    Args:
        work_dir (str): The work dir of the run.

    Returns:
        dict[str, Curve]: Curves by key. A key that training and validation share is
        called `val/<key>` for validation.

    Raises:
        UserError: There is no such folder, no log in it, no training in its logs, or a
            line cannot be read.
    """
    folder = Path(work_dir)
    if not folder.is_dir():
        raise UserError(
            f'no work dir at {work_dir}. Give the folder that training wrote: '
            'work_dirs/<config>, or the one given as --work-dir.'
        )
    logs = sorted(folder.glob(f'*/{LOG}'))
    if not logs:
        found = summarize_list(sorted(path.name for path in folder.iterdir()))
        raise UserError(
            f'{work_dir} has no training log (<timestamp>/{LOG}), but '
            f'{found or "nothing"}. Give the work dir of a run.'
        )
    lines: list[_Line] = []
    for log in logs:
        lines = _joined(lines, _lines(log))
    if not lines:
        raise UserError(
            f'{work_dir}: no training step is logged in {summarize_list(logs)}. The '
            'first one is logged after default_hooks.logger.interval iterations: wait, '
            'or lower this interval.'
        )
    curves = {}
    for source in ('train', 'val', 'hook'):
        points: dict[str, dict[int, float]] = defaultdict(dict)
        for line in lines:
            if line.source == source:
                unit = line.unit
                for key, value in line.scalars.items():
                    points[key][line.step] = value
        for key, found in points.items():
            name = f'{source}/{key}' if key in curves else key
            steps, values = tuple(found), tuple(found.values())
            curves[name] = Curve(name, source, unit, steps, values)
    return curves


def _lines(log: Path) -> list[_Line]:
    lines = []
    iteration = epoch = 0
    for record in _records(log):
        source, unit, step = 'hook', 'step', record.pop('step')
        if 'iter' in record:
            source, unit = 'train', 'iteration'
            iteration, epoch = record.pop('iter'), record.pop('epoch', 0)
        elif 'data_time' in record:  # LoggerHook's
            source, unit = 'val', 'epoch' if 0 < step <= epoch else 'iteration'
            # LoggerHook counts epochs by default, so in iteration-based loops all
            # validations are at step 0
            step = step or iteration
            for key in ('data_time', 'time'):
                record.pop(key, None)
        scalars = {k: v for k, v in record.items() if isinstance(v, int | float)}
        lines.append(_Line(source, unit, step, scalars))
    return lines


def _records(log: Path) -> Iterator[dict[str, Any]]:
    texts = log.read_text(encoding='utf-8', errors='replace').rstrip().split('\n')
    for number, text in enumerate(texts, start=1):
        try:
            record = json.loads(text)
        except ValueError:
            record = None
        if isinstance(record, dict) and 'step' in record:
            yield record
        elif number < len(texts):  # the last line may be incomplete
            raise UserError(
                f'{log}, line {number}, is not a line of a log: found {text[:40]!r}, '
                'expected a JSON object with a step. Fix it or delete it.'
            )


def _joined(earlier: list[_Line], later: list[_Line]) -> list[_Line]:
    """Join the logs of two starts; the later one may begin before the end of the first.

    Drops the lines of the earlier start from the first step of the later one on.
    """
    first: dict[str, float] = {line.source: line.step for line in reversed(later)}
    if 'train' not in first:
        return earlier
    first['hook'] = math.inf  # the unit of its steps is unknown
    kept = takewhile(lambda line: line.step < first.get(line.source, math.inf), earlier)
    return [*kept, *later]
