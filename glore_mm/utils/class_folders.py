"""Samples in one folder per class, and splits that are drawn at random."""

import os.path as osp
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from glore_mm.utils.errors import UserError, summarize_list
from glore_mm.utils.paths import is_data, list_files, list_names


def class_folders(root: str) -> list[str]:
    """Return the sorted names of the subfolders, without hidden ones."""
    return sorted(
        p.name for p in Path(root).iterdir() if p.is_dir() and is_data(p.name)
    )


def label_folders(folder: str, classes: Sequence[str], source: str) -> dict[str, int]:
    """Return the label of each class folder: its index in `classes`.

    Args:
        folder (str): The folder that contains the class folders.
        classes (Sequence[str]): The names of the classes.
        source (str): The source of the classes, for messages.

    Raises:
        UserError: A folder is not the name of a class.
    """
    names = class_folders(folder)
    if unknown := set(names) - set(classes):
        raise UserError(
            f'{folder} has {_format(unknown)}, which {source} lacks (it has '
            f'{_format(classes)}). Remove the unknown folders, or add these classes '
            'there and train again.'
        )
    return {name: classes.index(name) for name in names}


def find_samples(
    folder: str,
    labels: dict[str, int],
    is_sample: Callable[[str], bool],
    what: str,
    report_empty: Callable[[str], None],
    report_left_out: Callable[[str], None],
) -> list[tuple[str, int]]:
    """Return the paths and labels of the files in class folders.

    Links to missing files are included, so that reading them raises an error.

    Args:
        folder (str): The folder that contains the class folders.
        labels (dict[str, int]): Label by class folder.
        is_sample (Callable[[str], bool]): Whether a path is the file of a sample.
        what (str): What the files are, for messages, such as 'images (.png)'.
        report_empty (Callable[[str], None]): Called with the message about class
            folders without files.
        report_left_out (Callable[[str], None]): Called with the message about files of
            other kinds, and about samples outside of the class folders.

    Raises:
        UserError: There are no files at all.
    """
    files = {name: sorted(list_files(osp.join(folder, name))) for name in labels}
    found = {name: list(filter(is_sample, files[name])) for name in labels}
    others = [p for name in labels for p in files[name] if not is_sample(p)]
    outside = (osp.join(folder, name) for name in sorted(list_names(folder)))
    others += [path for path in outside if osp.isfile(path) and is_sample(path)]
    if others:
        report_left_out(
            f'{len(others)} file(s) that are not {what} in a class folder: '
            f'{summarize_list(others)}'
        )
    empty = [name for name, paths in found.items() if not paths]
    if len(empty) == len(labels):
        raise UserError(f'there are no {what} in the class folders of {folder}')
    if empty:
        report_empty(f'{folder}: no {what} in {_format(empty)}')
    return [(path, labels[name]) for name in labels for path in found[name]]


def draw_split(
    samples: list[Any],
    split: str,
    share: float,
    seed: int,
    where: str,
    labels: Sequence[Hashable] | None = None,
) -> list[Any]:
    """Draw the samples of a split at random.

    Args:
        samples (list): All samples.
        split (str): 'train'; any other split is the rest.
        share (float): Share of the rest, between 0 and 1.
        seed (int): Seed.
        where (str): The place of the samples, for messages.
        labels (Sequence[Hashable], optional): The class of each sample. Each class then
            has the same share in the splits, as far as whole samples allow, and at
            least one sample in training. Default: all samples are drawn with equal
            probability.

    Returns:
        list: The samples of the split, in their order.

    Raises:
        UserError: A split would be empty.
    """
    count = len(samples)
    held_out = max(1, round(share * count))
    if labels is not None:  # one of each class stays
        held_out = min(held_out, count - len(set(labels)))
    if not 0 < share < 1 or not 0 < held_out < count:
        several = 'two samples' if labels is None else 'two samples of a class'
        raise UserError(
            f'{where} has {count} sample(s), of which val_share={share} holds out '
            f'{held_out}: a split is empty. Give at least {several}, and a share '
            'between 0 and 1.'
        )
    # RandomState: the same numbers in every version of NumPy
    order = np.random.RandomState(seed).permutation(count)
    if labels is not None:
        order = _spread_classes(order, labels)
    chosen = order[held_out:] if split == 'train' else order[:held_out]
    return [samples[index] for index in sorted(chosen)]


def _spread_classes(order: np.ndarray, labels: Sequence[Hashable]) -> np.ndarray:
    """Reorder samples: each class spread evenly, with one sample of each at the end."""
    sizes, seen = Counter(labels), Counter[Hashable]()
    places = []
    for index in order:
        label = labels[index]
        seen[label] += 1
        last = seen[label] == sizes[label]
        places.append(1 if last else (seen[label] - 0.5) / sizes[label])
    return order[np.argsort(places, kind='stable')]


def _format(names: Iterable[str]) -> str:
    return summarize_list(map(repr, sorted(names)))
