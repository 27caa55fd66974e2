"""Files in a tar archive of the release, read without unpacking it."""

import tarfile
from collections.abc import Iterator
from contextlib import contextmanager

from glore_mm.utils.errors import UserError


def member_names(path: str) -> list[str]:
    """The names of what is in an archive.

    Raises:
        UserError: It cannot be read, or is compressed.
    """
    with _open(path) as archive:
        return archive.getnames()


def read_member(path: str, name: str) -> bytes:
    """A file in an archive.

    Raises:
        UserError: The archive cannot be read; or it is a link, or has a name that leads
            out of the archive, or says that it is larger than that.
    """
    with _open(path) as archive:
        member = archive.getmember(name)
        file = archive.extractfile(member) if member.isreg() else None
        outside = name.startswith('/') or '..' in name.split('/')
        if file is None or member.issparse() or outside:
            raise UserError(
                f'{path}: {name} is no plain file inside of the archive, as those of '
                'the release are. It was not read.'
            )
        return file.read()


@contextmanager
def _open(path: str) -> Iterator[tarfile.TarFile]:
    try:
        # not a compressed one, which could hold more than it is large
        with tarfile.open(path, 'r:') as archive:
            yield archive
    except (tarfile.TarError, EOFError, ValueError) as error:
        raise UserError(
            f'{path} cannot be read as an uncompressed tar archive: {error}. Fetch it '
            'again, or uncompress it.'
        ) from error
