"""What several classifiers predict of one test set."""

import numpy as np

from glore_mm.analysis.dumps import ScoresDump, read_dump
from glore_mm.apis.train import TrainResult


def read_dumps(results: dict[str, TrainResult]) -> dict[str, ScoresDump]:
    """Read the dumps of networks that were tested on the same data, by name."""
    return {name: _read(result) for name, result in results.items()}


def pick_sample(dumps: dict[str, ScoresDump], label: int) -> int:
    """Return a sample of a class: one that a network gets wrong, if there is one."""
    (*_, dump) = dumps.values()
    samples = np.flatnonzero(dump.labels == label)
    wrong = [~each.right[samples] for each in dumps.values()]
    return int(samples[np.argmax(np.sum(wrong, axis=0))])


def describe(dumps: dict[str, ScoresDump], index: int) -> list[str]:
    """Return truth and predictions of a sample, each as a line."""
    (*_, dump) = dumps.values()
    found = (f'{name}: {d.classes[d.predicted[index]]}' for name, d in dumps.items())
    return [f'truth: {dump.classes[dump.labels[index]]}', *found]


def top1(result: TrainResult) -> dict[str, float]:
    """Return the accuracy of a network in %."""
    return {'top-1': 100 * _read(result).right.mean()}


def _read(result: TrainResult) -> ScoresDump:
    dump = read_dump(result.dump)
    assert isinstance(dump, ScoresDump)
    return dump
