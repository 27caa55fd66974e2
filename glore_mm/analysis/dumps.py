"""What tools/test.py --dump has written of a segmentation network."""

import zipfile
from dataclasses import dataclass

import numpy as np

from glore_mm.errors import UserError


@dataclass(frozen=True)
class ConfusionDump:
    """The confusion matrices of n images and C classes.

    Attributes:
        path (str): The file.
        names (np.ndarray): Paths of the images, (n,).
        classes (np.ndarray): Names of the classes, (C,).
        confusion (np.ndarray): Pixels by true class (row) and predicted one, int64
            (n, C, C).
    """

    path: str
    names: np.ndarray
    classes: np.ndarray
    confusion: np.ndarray

    @property
    def total(self) -> np.ndarray:
        """Pixels by true class and predicted one over all images, (C, C)."""
        return self.confusion.sum(axis=0)

    @property
    def iou(self) -> np.ndarray:
        """Intersection over union of each class over all images, see `class_iou`."""
        return class_iou(self.total)


def class_iou(confusion: np.ndarray) -> np.ndarray:
    """Intersection over union of each class.

    Args:
        confusion (np.ndarray): Pixels by true class (row) and predicted one,
            (*, C, C).

    Returns:
        np.ndarray: (*, C), from 0 to 1; NaN for a class that neither has.
    """
    intersection = np.diagonal(confusion, axis1=-2, axis2=-1)
    union = confusion.sum(axis=-2) + confusion.sum(axis=-1) - intersection
    with np.errstate(invalid='ignore'):
        return intersection / union


def read_dump(path: str) -> ConfusionDump:
    """Read what a test of a segmentation network has dumped.

    Raises:
        UserError: The file is missing, cannot be read, or is of something else.
    """
    try:
        with np.load(path, allow_pickle=False) as content:
            arrays = dict(content)
    except FileNotFoundError as error:
        raise UserError(f'no dump at {path}') from error
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise UserError(
            f'{path} cannot be read as a dump: {error}. Write it again, with '
            'tools/test.py --dump.'
        ) from error
    if 'confusion' not in arrays:
        raise UserError(
            f'{path} holds {", ".join(arrays) or "nothing"}, no confusion matrices: it '
            'is no dump of a segmentation network by tools/test.py --dump'
        )
    return ConfusionDump(
        path, *(arrays[key] for key in ('names', 'classes', 'confusion'))
    )


def check_same_data(a: ConfusionDump, b: ConfusionDump) -> None:
    """Make sure that two dumps are of the same images, labels and classes.

    Raises:
        UserError: They are not.
    """
    for what, ours, theirs in (
        ('classes', a.classes, b.classes),
        ('images', a.names, b.names),
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
                f'{a.path} and {b.path} have different {what}: number {i} is {ours[i]} '
                f'there and {theirs[i]} here. Test both networks on the same data.'
            )
    pixels = [dump.confusion.sum(axis=2) for dump in (a, b)]
    wrong = np.flatnonzero((pixels[0] != pixels[1]).any(axis=1))
    if len(wrong):
        raise UserError(
            f'{a.path} and {b.path} have different labels for {len(wrong)} image(s), '
            f'the first {a.names[wrong[0]]}. Test both networks on the same data.'
        )
