"""What several classifiers predict of one test set."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from glore_mm.analysis.dumps import ScoresDump, read_dump
from glore_mm.apis.train import TrainResult


@dataclass(frozen=True)
class Predictions:
    """Predictions of n samples.

    Attributes:
        names (np.ndarray): Files of the samples, (n,).
        labels (np.ndarray): The truth, (n,).
        classes (Sequence[str]): Names of the labels.
        predicted (dict[str, np.ndarray]): Labels (n,) by the name of the network.
    """

    names: np.ndarray
    labels: np.ndarray
    classes: Sequence[str]
    predicted: dict[str, np.ndarray]

    def pick_sample(self, label: int) -> int:
        """A sample of a class: one that a network gets wrong, if there is one."""
        samples = np.flatnonzero(self.labels == label)
        wrong = [p[samples] != label for p in self.predicted.values()]
        return int(samples[np.argmax(np.sum(wrong, axis=0))])

    def describe(self, index: int) -> list[str]:
        """Truth and predictions of a sample, each a line."""
        found = (f'{n}: {self.classes[p[index]]}' for n, p in self.predicted.items())
        return [f'truth: {self.classes[self.labels[index]]}', *found]


def read_predictions(results: dict[str, TrainResult]) -> Predictions:
    """Read the dumps of networks that were tested on the same data."""
    dumps = {name: _read(result) for name, result in results.items()}
    (*_, dump) = dumps.values()
    predicted = {name: each.predicted for name, each in dumps.items()}
    return Predictions(dump.names, dump.labels, dump.classes.tolist(), predicted)


def top1(result: TrainResult) -> dict[str, float]:
    """The accuracy of a network in %."""
    return {'top-1': 100 * _read(result).right.mean()}


def _read(result: TrainResult) -> ScoresDump:
    dump = read_dump(result.dump)
    assert isinstance(dump, ScoresDump)
    return dump
