"""Files that appear when they are complete."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress


@contextmanager
def draft_of(path: str | os.PathLike) -> Iterator[str]:
    """Name a file to write, which takes the place of `path` when the block has ended.

    If an error ends the block, the draft is removed and what was at `path` stays.

    Args:
        path (str | os.PathLike): In a folder that exists.

    Yields:
        str: The draft, beside it.
    """
    draft = f'{path}.{os.getpid()}.part'  # another process may write it, too
    try:
        yield draft
        os.replace(draft, path)
    finally:
        with suppress(FileNotFoundError):
            os.remove(draft)
