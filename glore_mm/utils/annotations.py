"""Annotation lists and files of class names."""

import os.path as osp
import re
from collections.abc import Iterator, Sequence

from mmengine import fileio

from glore_mm.utils.errors import UserError, shorten
from glore_mm.utils.paths import describe_parent

# a line of the GloRe release's lists: number, label, path, with no label after the path
_RELEASED = re.compile(r'\d+\s+(?P<label>\d+)\s+(?P<path>(?!.*\s-?\d+$).*\D.*)')


def read_lines(path: str, what: str) -> list[tuple[int, str]]:
    """Return the non-blank lines of a text file with their line numbers from 1.

    Args:
        path (str): The file.
        what (str): What the file is, for messages.

    Raises:
        UserError: There is no such file, or it is not UTF-8 text.
    """
    try:
        text = fileio.get_text(path, encoding='utf-8-sig')
    except UnicodeDecodeError as error:
        raise UserError(f'{path}, the {what}, is not UTF-8 text: {error}') from error
    except OSError as error:
        raise UserError(
            f'no {what} at {path}: {error.strerror}. Put it there, or correct '
            f'data_root or the file name in the config. {describe_parent(path)}'
        ) from error
    lines = [line.strip() for line in text.split('\n')]
    return [(number, line) for number, line in enumerate(lines, 1) if line]


def parse_annotations(
    path: str, what: str, numbers: tuple[str, ...], num_classes: int
) -> Iterator[tuple[str, str, dict[str, int]]]:
    """Read the samples of a list with a path and some integers in each line.

    A path may contain spaces. If `numbers` is just 'label', a line may also have the
    format of the GloRe release's lists: a number, the label and the path.

    Args:
        path (str): The list.
        what (str): What the list is, for messages.
        numbers (tuple[str, ...]): Names of the integers after the path. The one named
            'label' must be a class index.
        num_classes (int): Number of classes.

    Yields:
        tuple: File and line of the sample, for messages; its path; its integers by
        name.

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
    """Resolve a path from a list and check that it is inside the data root.

    Symbolic links inside the data root may point elsewhere: the owner of the data made
    them.

    Args:
        name (str): The path in the list.
        where (str): File and line of the list, for messages.
        folder (str): Base folder of the path.
        data_root (str | None): Root of the data set. Paths inside `folder` are allowed,
            too.
        outside_root (bool): Whether the config allows other places.

    Returns:
        str: The path of the file, which may not exist.

    Raises:
        UserError: The path is outside the data root, or is a URL.
    """
    if '://' in name:
        raise UserError(
            f'{where}: {shorten(name)} is an address; expected a path, as nothing is '
            'downloaded. Download the file and list its path.'
        )
    path = osp.join(folder, name)
    if outside_root or not (osp.isabs(name) or '..' in name.split('/')):
        return path
    # else `..` after a link would be relative to its target
    path = osp.normpath(path)
    roots = [osp.abspath(root) for root in (data_root or folder, folder)]
    if not any(osp.commonpath([root, osp.abspath(path)]) == root for root in roots):
        raise UserError(
            f'{where}: {shorten(name)} leads outside {roots[0]}; expected a path in '
            'it. Correct the list or, if you trust it, give the data set '
            'outside_root=True in the config.'
        )
    return path


def read_class_names(classes: str | Sequence[str], data_root: str) -> tuple[str, ...]:
    """Return class names, as given or from a text file with one name per line.

    Args:
        classes (str | Sequence[str]): The names, or the file, relative to `data_root`.
        data_root (str): Root of the data set.

    Raises:
        UserError: There is no such file, it is empty, or a name occurs twice.
    """
    where = 'classes'
    if isinstance(classes, str):
        where = osp.join(data_root, classes)
        classes = [line for _, line in read_lines(where, 'file of classes')]
        if not classes:
            raise UserError(f'{where} is empty; expected one class per line')
    classes = list(map(str, classes))
    twice = sorted({name for name in classes if classes.count(name) > 1})
    if twice:
        raise UserError(
            f'{where} has {", ".join(map(repr, twice))} more than once. List each once.'
        )
    return tuple(classes)
