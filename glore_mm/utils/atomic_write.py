"""Files that are written completely or not at all."""

import csv
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import numpy as np

from glore_mm.utils.errors import UserError

#: File names with bytes that are not UTF-8 keep these bytes.
_UTF8: Any = dict(encoding='utf-8', errors='surrogateescape')


@contextmanager
def atomic_write(path: str | os.PathLike[str]) -> Iterator[str]:
    """Write a temporary file that replaces `path` at the end of the block.

    The temporary file is flushed to the disk before it replaces `path`. So after a
    crash, even of the machine, `path` is either the old file or the complete new one.
    If an error ends the block, the temporary file is removed and `path` stays as it is.

    Args:
        path (str | os.PathLike): The file. Its folder is created if it does not exist.

    Yields:
        str: The path of the temporary file, in the same folder.

    Raises:
        UserError: The file cannot be written.
    """
    draft = f'{path}.{os.getpid()}.part'  # other processes may write the same file
    folder = os.path.dirname(os.path.abspath(path))
    try:
        os.makedirs(folder, exist_ok=True)
        yield draft
        _flush(draft)
        os.replace(draft, path)
        _flush(folder)
    except OSError as error:
        raise _unwritable(path, error) from error
    finally:
        with suppress(FileNotFoundError, NotADirectoryError):
            os.remove(draft)


def make_dir(path: str | os.PathLike[str]) -> None:
    """Create a folder and its parents if they do not exist.

    Raises:
        UserError: The folder cannot be created.
    """
    try:
        os.makedirs(path, exist_ok=True)
    except OSError as error:
        raise _unwritable(path, error) from error


def _unwritable(path: str | os.PathLike[str], error: OSError) -> UserError:
    return UserError(
        f'{path} cannot be written: {error.strerror or error}. Correct that, or give '
        'another path.'
    )


def _flush(path: str) -> None:
    """Flush a file, or the entries of a folder, to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_json(path: str | os.PathLike[str], content: object) -> None:
    """Write JSON, atomically."""
    write_text(path, json.dumps(content, indent=2) + '\n')


def write_csv(
    path: str | os.PathLike[str], columns: list[str], rows: list[dict[str, Any]]
) -> None:
    """Write rows as CSV with a header, atomically."""
    with (
        atomic_write(path) as draft,
        open(draft, 'w', newline='', **_UTF8) as file,
    ):
        writer = csv.DictWriter(file, fieldnames=columns)
        writer.writeheader()
        writer.writerows(rows)


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Write text in UTF-8, atomically."""
    with atomic_write(path) as draft, open(draft, 'w', **_UTF8) as file:
        file.write(text)


def write_npz(path: str, **arrays: Any) -> None:
    """Write named arrays as a compressed .npz, atomically."""
    # a file object, as NumPy appends .npz to a path
    with atomic_write(path) as draft, open(draft, 'wb') as file:
        np.savez_compressed(file, **arrays)
