"""Read prediction dumps of tools/test.py --dump: confusion matrices, scores."""

import zipfile
from dataclasses import dataclass, fields

import numpy as np

from glore_mm.utils.errors import UserError


@dataclass(frozen=True)
class ConfusionDump:
    """Confusion matrices of n images and C classes.

    Attributes:
        path (str): The file.
        names (np.ndarray): Paths of the images, (n,).
        classes (np.ndarray): Class names, (C,).
        confusion (np.ndarray): Pixels by true class (row) and predicted class (column),
            int64 (n, C, C).
    """

    path: str
    names: np.ndarray
    classes: np.ndarray
    confusion: np.ndarray

    @property
    def truth(self) -> np.ndarray:
        """Pixels of each class in each image, (n, C)."""
        return self.confusion.sum(axis=2)

    @property
    def total(self) -> np.ndarray:
        """Pixels by true class and predicted class over all images, (C, C)."""
        return self.confusion.sum(axis=0)

    @property
    def iou(self) -> np.ndarray:
        """Intersection over union of each class over all images, see `class_iou`."""
        return class_iou(self.total)


@dataclass(frozen=True)
class ScoresDump:
    """Scores of a classifier with C classes for n images or videos.

    Attributes:
        path (str): The file.
        names (np.ndarray): Paths of the samples, (n,).
        classes (np.ndarray): Class names, (C,).
        labels (np.ndarray): True classes, int64 (n,). For samples with several labels
            (n, C), with 1 for each label of a sample and 0 elsewhere.
        scores (np.ndarray): Scores, float (n, C).
    """

    path: str
    names: np.ndarray
    classes: np.ndarray
    labels: np.ndarray
    scores: np.ndarray

    @property
    def truth(self) -> np.ndarray:
        """The true classes, (n,)."""
        return self.labels

    @property
    def predicted(self) -> np.ndarray:
        """The class of the highest score, (n,)."""
        return self.scores.argmax(axis=1)

    @property
    def right(self) -> np.ndarray:
        """Whether the predicted class is the true one, bool (n,)."""
        return self.predicted == self.labels


def class_iou(confusion: np.ndarray) -> np.ndarray:
    """Compute the intersection over union of each class.

    Args:
        confusion (np.ndarray): Pixels by true class (row) and predicted class (column),
            (*, C, C).

    Returns:
        np.ndarray: (*, C), from 0 to 1; NaN for a class without true or predicted
        pixels.
    """
    intersection, union = iou_parts(confusion)
    with np.errstate(invalid='ignore'):
        return intersection / union


def iou_parts(confusion: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return intersection and union of each class, (*, C) each, in pixels."""
    intersection = np.diagonal(confusion, axis1=-2, axis2=-1)
    union = confusion.sum(axis=-2) + confusion.sum(axis=-1) - intersection
    return intersection, union


def read_dump(path: str) -> ConfusionDump | ScoresDump:
    """Read a prediction dump.

    Returns:
        ConfusionDump | ScoresDump: The dump of a segmentation network or of a
        classifier.

    Raises:
        UserError: The file is missing, cannot be read, or is not a prediction dump.
    """
    try:
        with np.load(path, allow_pickle=False) as content:
            arrays = dict(content)
    except FileNotFoundError as error:
        raise UserError(
            f'no dump at {path}: tools/test.py --dump writes one'
        ) from error
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise UserError(
            f'{path} cannot be read as a dump: {error}. Write it again with '
            'tools/test.py --dump.'
        ) from error
    for kind in (ConfusionDump, ScoresDump):
        keys = [field.name for field in fields(kind) if field.name != 'path']
        if all(key in arrays for key in keys):
            return kind(path, *(arrays[key] for key in keys))
    raise UserError(
        f'{path} has {", ".join(arrays) or "nothing"}, neither confusion matrices nor '
        'scores with labels: it is not a dump of tools/test.py --dump'
    )


def check_same_data(
    a: ConfusionDump | ScoresDump, b: ConfusionDump | ScoresDump
) -> None:
    """Check that two dumps have the same samples, labels and classes.

    Raises:
        UserError: They differ.
    """
    if type(a) is not type(b):
        raise UserError(
            f'one of {a.path} and {b.path} is from a segmentation network, the other '
            'from a classifier. Give two dumps of the same kind.'
        )
    if isinstance(a, ScoresDump) and a.labels.ndim > 1:
        raise UserError(
            f'{a.path} has samples with several labels. Only samples with one label '
            'can be compared.'
        )
    for what, ours, theirs in (
        ('classes', a.classes, b.classes),
        ('samples', a.names, b.names),
    ):
        if len(ours) != len(theirs):
            raise UserError(
                f'{a.path} has {len(ours)} {what}, {b.path} has {len(theirs)}. Test '
                'both networks on the same data.'
            )
        different = np.flatnonzero(ours != theirs)
        if len(different):
            i = different[0]
            raise UserError(
                f'different {what}: number {i} is {ours[i]} in {a.path}, but '
                f'{theirs[i]} in {b.path}. Test both networks on the same data.'
            )
    wrong = np.flatnonzero((a.truth != b.truth).reshape(len(a.names), -1).any(axis=1))
    if len(wrong):
        raise UserError(
            f'{a.path} and {b.path} have different labels for {len(wrong)} sample(s), '
            f'the first {a.names[wrong[0]]}. Test both networks on the same data.'
        )
