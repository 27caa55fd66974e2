"""Annotation lists and files of class names."""

import os.path as osp
import re
from collections.abc import Iterator, Sequence

from mmengine import fileio

from glore_mm.utils.errors import UserError, shorten

# in the lists of the GloRe release: a number, the label, the path; no label behind it
_RELEASED = re.compile(r'\d+\s+(?P<label>\d+)\s+(?P<path>(?!.*\s-?\d+$).*\D.*)')


def read_lines(path: str, what: str) -> list[tuple[int, str]]:
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


def parse_annotations(
    path: str, what: str, numbers: tuple[str, ...], num_classes: int
) -> Iterator[tuple[str, str, dict[str, int]]]:
    """The samples of a list: a path, which may hold spaces, and numbers in each line.

    A list of paths and labels may also be one of the GloRe release, with a number, the
    label and the path in each line.

    Args:
        path (str): The list.
        what (str): What it is, for messages.
        numbers (tuple[str, ...]): What the numbers are; 'label' counts the classes.
        num_classes (int): How many there are.

    Yields:
        tuple: Where the sample stands, for messages; its path; its numbers by name.

    Raises:
        UserError: The list is missing or empty, or a line is wrong.
    """
    lines = read_lines(path, what)
    layout = ' '.join(('path', *numbers))
    if not lines:
        raise UserError(f'{path} is empty; expected in each line: {layout}')
    for number, line in lines:
        where = f'{path}, line {number}'
        name, *fields = line.rsplit(maxsplit=len(numbers))
        if numbers == ('label',) and (released := _RELEASED.fullmatch(line)):
            name, fields = released['path'], [released['label']]
        try:
            sample = dict(zip(numbers, map(int, fields), strict=True))
        except ValueError:
            raise UserError(
                f'{where}: {shorten(line)}; expected {layout}, the '
                f'{" and the ".join(numbers)} in digits'
            ) from None
        if not 0 <= sample.get('label', 0) < num_classes:
            raise UserError(
                f'{where}: label {sample["label"]}; the classes are 0 to '
                f'{num_classes - 1}. Correct the list, or the classes of the data '
                'set in the config.'
            )
        yield where, name, sample


def resolve_path(
    name: str, where: str, folder: str, data_root: str | None, outside_root: bool
) -> str:
    """The file that a list names, which has to lie in the data root.

    Links in there may lead elsewhere: they are of who owns the data.

    Args:
        name (str): The path in the list.
        where (str): Where it stands there, for the message.
        folder (str): What it is relative to.
        data_root (str | None): Of the data set; what lies in `folder` is fine, too.
        outside_root (bool): Whether the config allows other places.

    Returns:
        str: The path of the file, which need not be there.

    Raises:
        UserError: It is elsewhere, or an address.
    """
    if '://' in name:
        raise UserError(
            f'{where}: {shorten(name)} is an address; expected a path, for nothing is '
            'downloaded. Fetch the file, and list where it is.'
        )
    path = osp.join(folder, name)
    if outside_root or not (osp.isabs(name) or '..' in name.split('/')):
        return path
    path = osp.normpath(path)  # behind a link, `..` would lead to where that points
    roots = [osp.abspath(root) for root in (data_root or folder, folder)]
    if not any(osp.commonpath([root, osp.abspath(path)]) == root for root in roots):
        raise UserError(
            f'{where}: {shorten(name)} leads outside {roots[0]}; expected a path in '
            'it. Correct the list or, where you trust it, give the data set '
            'outside_root=True in the config.'
        )
    return path


def read_class_names(classes: str | Sequence[str], data_root: str) -> tuple[str, ...]:
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
        classes = [line for _, line in read_lines(where, 'file of classes')]
        if not classes:
            raise UserError(f'{where} is empty; expected one class a line')
    twice = sorted({name for name in classes if classes.count(name) > 1})
    if twice:
        raise UserError(
            f'{where} has {", ".join(map(repr, twice))} more than once. Name each once.'
        )
    return tuple(classes)
