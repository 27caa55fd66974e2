"""Write tar archives."""

import io
import tarfile


def tar_bytes(members: dict[str, bytes], mode: str = 'w') -> bytes:
    """Return a tar archive of files by name; `mode` as for tarfile.open."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=mode) as archive:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return buffer.getvalue()
