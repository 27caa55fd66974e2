"""Files that appear when they are complete."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress


@contextmanager
def draft_of(path: str | os.PathLike[str]) -> Iterator[str]:
    """Name a file to write, which takes the place of `path` when the block has ended.

    By then it is on the disk: a crash, of the machine too, leaves one or the other. If
    an error ends the block, the draft is removed and what was at `path` stays.

    Args:
        path (str | os.PathLike): In a folder that exists.

    Yields:
        str: The draft, beside it.
    """
    draft = f'{path}.{os.getpid()}.part'  # another process may write it, too
    try:
        yield draft
        _flush(draft)
        os.replace(draft, path)
        _flush(os.path.dirname(os.path.abspath(path)))
    finally:
        with suppress(FileNotFoundError):
            os.remove(draft)


def _flush(path: str) -> None:
    """Wait until a file, or the names in a folder, are on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
