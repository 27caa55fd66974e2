"""Networks trained and tested alike, side by side: what the demos show."""

import os.path as osp
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.config import Config
from PIL import Image
from prettytable import PrettyTable

from glore_mm.analysis.dumps import ScoresDump, read_dump
from glore_mm.apis.train import train_and_test
from glore_mm.config.load import load_config
from glore_mm.utils.errors import UserError
from glore_mm.visualization.drawing import save_image

DEMO = {'plain': 'plain_mini', 'GloRe': 'glore_mini'}  # configs by name in the table


@dataclass
class Comparison:
    """What several networks say of one test set of n samples.

    Attributes:
        cfg (Config): Of the last of the networks.
        names (np.ndarray): Files of the samples, (n,).
        labels (np.ndarray): The truth, (n,).
        classes (Sequence[str]): Names of the labels.
        predicted (dict[str, np.ndarray]): Labels (n,) by the name of the network.
    """

    cfg: Config
    names: np.ndarray
    labels: np.ndarray
    classes: Sequence[str]
    predicted: dict[str, np.ndarray]

    def table(self) -> PrettyTable:
        """Right answers in per cent, a row a class."""
        right = {name: p == self.labels for name, p in self.predicted.items()}
        of_class = [self.labels == label for label in range(len(self.classes))]
        scores = {
            n: np.array([r[c].mean() for c in of_class]) for n, r in right.items()
        }
        total = [r.mean() for r in right.values()]
        return score_table('right', scores, self.classes, ('all', total))

    def summary(self) -> str:
        """The accuracies, and that of guessing, in a line."""
        scores = ', '.join(
            f'{n} {np.mean(p == self.labels):.2%}' for n, p in self.predicted.items()
        )
        return f'top-1: {scores} (chance: {1 / len(self.classes):.2%})'

    def pick_sample(self, label: int) -> int:
        """A sample of a class: one that some network gets wrong, if there is one."""
        these = np.flatnonzero(self.labels == label)
        wrong = [p[these] != label for p in self.predicted.values()]
        return int(these[np.argmax(np.sum(wrong, axis=0))])

    def about(self, index: int) -> str:
        """Truth and predictions of a sample, in a line."""
        truth = self.classes[self.labels[index]]
        found = (f'{n}: {self.classes[p[index]]}' for n, p in self.predicted.items())
        return ' | '.join([f'truth: {truth}', *found])


def compare(
    configs: dict[str, str], options: dict[str, Any] | None = None
) -> Comparison:
    """Train and test the networks of several configs, one after another.

    Args:
        configs (dict[str, str]): Paths of the configs, by the name of the network.
        options (dict, optional): Keys of all configs to override, dotted.
    """
    predicted = {}
    for name, path in configs.items():
        done = train_and_test(partial(load_config, path, options))
        dump = read_dump(done.dump)
        assert isinstance(dump, ScoresDump)
        predicted[name] = dump.predicted
    classes = dump.classes.tolist()
    return Comparison(done.cfg, dump.names, dump.labels, classes, predicted)


def demo(
    task: str,
    write: Callable[[], Path],
    draw: Callable[[Comparison], Image.Image],
    configs: str,
    options: dict[str, Any] | None = None,
) -> None:
    """Train and test a task's two small networks, print their scores, draw a picture.

    Writes data/ and work_dirs/ in the current folder.

    Args:
        task (str): 'cls' or 'video'.
        write (Callable): Generates the data set, unless it is there.
        draw (Callable): Makes the picture of what the networks were shown.
        configs (str): The folder of this project's configs.
        options (dict, optional): Keys of both configs to override.

    Raises:
        UserError: Something else is in the place of the data set.
    """
    data = generated(write)
    paths = {n: osp.join(configs, task, f'{config}.py') for n, config in DEMO.items()}
    found = compare(paths, options)
    show(task, data, found.table(), draw(found), found.summary())


def generated(write: Callable[[], Path]) -> Path:
    """Generate a data set, unless it is there.

    Raises:
        UserError: Something else is in its place.
    """
    try:
        return write()
    except FileExistsError as error:
        raise UserError(str(error)) from error


def score_table(
    what: str,
    scores: Mapping[str, np.ndarray],
    classes: Sequence[str],
    total: tuple[str, Sequence[float]],
) -> PrettyTable:
    """Scores of several networks in per cent, a row a class.

    Args:
        what (str): Is scored.
        scores (Mapping[str, np.ndarray]): By network, from 0 to 1, (classes,).
        classes (Sequence[str]): Their names.
        total (tuple[str, Sequence[float]]): Name of the last row; a score of each.
    """
    table = PrettyTable([f'{what} in %', *scores])
    table.align = 'r'
    table.align[f'{what} in %'] = 'l'
    for name, *row in zip(classes, *scores.values(), strict=True):
        table.add_row([name, *(f'{100 * value:.1f}' for value in row)])
    table.add_divider()
    name, values = total
    table.add_row([name, *(f'{100 * value:.2f}' for value in values)])
    return table


def show(
    task: str, data: Path, table: PrettyTable, picture: Image.Image, summary: str
) -> None:
    """Print what came out of a demo, and write its picture."""
    path = f'work_dirs/demo_{task}.png'
    save_image(picture, path)
    print(table)
    print(summary)
    print(
        'One seed, little training: which network is ahead may be chance. '
        'docs/evidence.md has more seeds, and a task that takes a unit.'
    )
    print(f'picture: {path} | data: {data} | checkpoints: work_dirs/')
