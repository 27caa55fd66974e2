"""Files that are written completely or not at all."""

import csv
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import numpy as np

from glore_mm.utils.errors import UserError

#: Names of files that are no text keep their bytes.
_UTF8: Any = dict(encoding='utf-8', errors='surrogateescape')


@contextmanager
def atomic_write(path: str | os.PathLike[str]) -> Iterator[str]:
    """Name a file to write, which takes the place of `path` when the block has ended.

    By then it is on the disk: a crash, of the machine too, leaves one or the other. If
    an error ends the block, the draft is removed and what was at `path` stays.

    Args:
        path (str | os.PathLike): The file; its folder is made where there is none.

    Yields:
        str: The draft, beside it.

    Raises:
        UserError: It cannot be written there.
    """
    draft = f'{path}.{os.getpid()}.part'  # another process may write it, too
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
    """Make a folder, and those above it, where there is none.

    Raises:
        UserError: It cannot be made.
    """
    try:
        os.makedirs(path, exist_ok=True)
    except OSError as error:
        raise _unwritable(path, error) from error


def _unwritable(path: str | os.PathLike[str], error: OSError) -> UserError:
    return UserError(
        f'{path} cannot be written: {error.strerror or error}. Correct that, or give '
        'another place.'
    )


def _flush(path: str) -> None:
    """Wait until a file, or the names in a folder, are on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_json(path: str, records: list[dict[str, Any]]) -> None:
    """Write records as a JSON list; the file appears when it is complete."""
    write_text(path, json.dumps(records, indent=2))


def write_csv(path: str, columns: list[str], rows: list[dict[str, Any]]) -> None:
    """Write rows as CSV under a header; the file appears when it is complete."""
    with (
        atomic_write(path) as draft,
        open(draft, 'w', newline='', encoding='utf-8') as file,
    ):
        writer = csv.DictWriter(file, fieldnames=columns)
        writer.writeheader()
        writer.writerows(rows)


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Write a text in UTF-8; the file appears when it is complete."""
    with atomic_write(path) as draft, open(draft, 'w', **_UTF8) as file:
        file.write(text)


def write_npz(path: str, **arrays: Any) -> None:
    """Write arrays by name as a compressed .npz; it appears when it is complete."""
    # savez adds .npz to a bare name
    with atomic_write(path) as draft, open(draft, 'wb') as file:
        np.savez_compressed(file, **arrays)
