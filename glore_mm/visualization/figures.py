"""Convert and write matplotlib figures."""

import io
from pathlib import Path

from matplotlib.figure import Figure
from PIL import Image

from glore_mm.utils.atomic_write import atomic_write
from glore_mm.utils.errors import UserError


def figure_to_image(figure: Figure) -> Image.Image:
    """Render a figure as an RGB image."""
    file = io.BytesIO()
    figure.savefig(file)
    return Image.open(file).convert('RGB')


def write_figure(figure: Figure, path: str) -> None:
    """Write a figure atomically, in the format of the file name's suffix.

    Raises:
        UserError: The format is not supported, or the file cannot be written.
    """
    formats = figure.canvas.get_supported_filetypes()
    file = Path(path)
    if file.suffix[1:].lower() not in formats:
        raise UserError(
            f'{path} does not end in an image format; expected one of '
            f'{", ".join(f".{name}" for name in formats)}'
        )
    with atomic_write(file) as draft:
        figure.savefig(draft, dpi=150, format=file.suffix[1:].lower())
