"""Paths of the repository."""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def contents(root):
    """Return the bytes of all files in a folder by their paths in it."""
    paths = (path for path in sorted(root.rglob('*')) if path.is_file())
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in paths}
