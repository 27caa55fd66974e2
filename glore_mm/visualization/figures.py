"""Figures of matplotlib's, as pictures and as files."""

import io
from pathlib import Path

from matplotlib.figure import Figure
from PIL import Image

from glore_mm.utils.atomic_write import atomic_write
from glore_mm.utils.errors import UserError


def figure_to_image(figure: Figure) -> Image.Image:
    """A figure as a picture, RGB."""
    file = io.BytesIO()
    figure.savefig(file)
    return Image.open(file).convert('RGB')


def write_figure(figure: Figure, path: str) -> None:
    """Write a figure, in the format that the end of the file's name says.

    The file appears when it is complete.

    Raises:
        UserError: There is no such format, or the file cannot be written.
    """
    formats = figure.canvas.get_supported_filetypes()
    file = Path(path)
    if file.suffix[1:].lower() not in formats:
        raise UserError(
            f'{path} names no format for a picture: end it in one of '
            f'{", ".join(f".{name}" for name in formats)}'
        )
    with atomic_write(file) as draft:
        figure.savefig(draft, dpi=150, format=file.suffix[1:].lower())
