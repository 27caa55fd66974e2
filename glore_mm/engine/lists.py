"""Text files with one thing a line: samples, names of classes."""

import os.path as osp
from collections.abc import Sequence

from mmengine import fileio

from glore_mm.errors import UserError


def lines_of(path: str, what: str) -> list[tuple[int, str]]:
    """The lines of a text file that are not blank, with their numbers from 1.

    Args:
        path (str): The file.
        what (str): What it is, for messages.

    Raises:
        UserError: There is no such file, or it is no text.
    """
    try:
        text = fileio.get_text(path, encoding='utf-8-sig')
    except UnicodeDecodeError as error:
        raise UserError(f'{path}, the {what}, is not UTF-8 text: {error}') from error
    except OSError as error:
        raise UserError(
            f'no {what} at {path}: {error.strerror}. Put it there, or correct '
            'data_root or its name in the config.'
        ) from error
    lines = [line.strip() for line in text.split('\n')]
    return [(number, line) for number, line in enumerate(lines, 1) if line]


def class_names(classes: str | Sequence[str], data_root: str) -> tuple[str, ...]:
    """The names of classes, as given or from a text file with one a line.

    Args:
        classes (str | Sequence[str]): The names, or the file, relative to `data_root`.
        data_root (str): Of the data set.

    Raises:
        UserError: There is no such file, it is empty, or a name stands there twice.
    """
    where = 'classes'
    if isinstance(classes, str):
        where = osp.join(data_root, classes)
        classes = [line for _, line in lines_of(where, 'file of classes')]
        if not classes:
            raise UserError(f'{where} is empty; expected one class a line')
    twice = sorted({name for name in classes if classes.count(name) > 1})
    if twice:
        raise UserError(f'{where} has {", ".join(map(repr, twice))} more than once')
    return tuple(classes)
