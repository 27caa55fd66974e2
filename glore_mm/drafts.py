"""Files that appear when they are complete."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from glore_mm.errors import UserError


@contextmanager
def draft_of(path: str | os.PathLike[str]) -> Iterator[str]:
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


def make_folder(path: str | os.PathLike[str]) -> None:
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
        f'{path} cannot be written: {error.strerror or error}. Mend that, or give '
        'another place.'
    )


def _flush(path: str) -> None:
    """Wait until a file, or the names in a folder, are on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
