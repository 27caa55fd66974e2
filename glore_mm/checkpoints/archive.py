"""Read files from a tar archive of the release without unpacking it."""

import tarfile
from collections.abc import Iterator
from contextlib import contextmanager

from glore_mm.utils.errors import UserError


def member_names(path: str) -> list[str]:
    """Return the names of the members of an archive.

    Raises:
        UserError: The archive cannot be read, or is compressed.
    """
    with _open(path) as archive:
        return archive.getnames()


def read_member(path: str, name: str) -> bytes:
    """Return the content of a file in an archive.

    Raises:
        UserError: The archive cannot be read, or the member is a link, has a path
            outside the archive, or claims to be larger than the archive.
    """
    with _open(path) as archive:
        member = archive.getmember(name)
        file = archive.extractfile(member) if member.isreg() else None
        outside = name.startswith('/') or '..' in name.split('/')
        if file is None or member.issparse() or outside:
            raise UserError(
                f'{path}: {name} is not a plain file inside the archive, unlike the '
                'files of the release. It was not read.'
            )
        return file.read()


@contextmanager
def _open(path: str) -> Iterator[tarfile.TarFile]:
    try:
        # no compressed archives: they could unpack to far more than their size
        with tarfile.open(path, 'r:') as archive:
            yield archive
    except (tarfile.TarError, EOFError, ValueError) as error:
        raise UserError(
            f'{path} cannot be read as an uncompressed tar archive: {error}. Fetch it '
            'again, or uncompress it.'
        ) from error
