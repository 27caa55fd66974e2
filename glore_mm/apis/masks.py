"""Convert colour masks to class indices."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from glore_mm.utils.errors import UserError, summarize_list
from glore_mm.utils.images import IMAGE_SUFFIXES, read_image
from glore_mm.utils.paths import expand_inputs, output_files
from glore_mm.visualization.drawing import index_image, save_image


def convert_masks(
    folder: str,
    out_dir: str,
    palette: Sequence[Sequence[int]],
    others: int | None = None,
) -> Iterator[Path]:
    """Write the colour masks of a folder as palette PNGs of class indices.

    Args:
        folder (str): Folder of the masks.
        out_dir (str): Where to write, under the same names.
        palette (Sequence[Sequence[int]]): RGB of every class, 0 to 255.
        others (int, optional): Index of all other colours, such as 255. Default: other
            colours are an error.

    Yields:
        Path: Each written file.

    Raises:
        UserError: A mask cannot be read, has other colours, or would be overwritten.
    """
    files = expand_inputs([folder], IMAGE_SUFFIXES)
    outputs = output_files(files, out_dir, lambda path: [f'{path.stem}.png'])
    for path, (output,) in outputs.items():
        labels = colors_to_indices(path, palette, others)
        save_image(index_image(labels, palette), output)
        yield output


def colors_to_indices(
    path: str, palette: Sequence[Sequence[int]], others: int | None = None
) -> np.ndarray:
    """Read a colour mask and convert it to class indices.

    Args:
        path (str): The mask.
        palette (Sequence[Sequence[int]]): RGB of every class, 0 to 255.
        others (int, optional): Index of all other colours, as for `convert_masks`.

    Returns:
        np.ndarray: uint8 (H, W).

    Raises:
        UserError: The mask cannot be read, or has other colours.
    """
    codes = _codes(np.asarray(read_image(path)))
    table = {int(code): index for index, code in enumerate(_codes(np.array(palette)))}
    found, places = np.unique(codes, return_inverse=True)
    unknown = [code for code in found.tolist() if code not in table]
    if unknown and others is None:
        colors = list(map(_color, unknown))
        raise UserError(
            f'{path} has {len(colors)} colour(s) that are not in the palette: '
            f'{summarize_list(colors)}. Add them to the palette, or give '
            '--others 255 to ignore them.'
        )
    indices = np.array([table.get(code, others) for code in found.tolist()], np.uint8)
    return indices[places].reshape(codes.shape)


def count_colors(folder: str) -> dict[tuple[int, int, int], int]:
    """Count the pixels of each colour in a folder of masks.

    Returns:
        dict[tuple[int, int, int], int]: Pixels by RGB colour, the most frequent first.

    Raises:
        UserError: A mask cannot be read, or there are more than 256 colours.
    """
    counts: dict[int, int] = {}
    for path in expand_inputs([folder], IMAGE_SUFFIXES):
        found, pixels = np.unique(
            _codes(np.asarray(read_image(path))), return_counts=True
        )
        for code, count in zip(found.tolist(), pixels.tolist(), strict=True):
            counts[code] = counts.get(code, 0) + count
        if len(counts) > 256:
            raise UserError(
                f'{folder} has more than 256 colours up to {path}: the files are not '
                'masks, or were saved as JPEG, which changes colours'
            )
    ordered = sorted(counts.items(), key=lambda item: -item[1])
    return {_color(code): count for code, count in ordered}


def _color(code: int) -> tuple[int, int, int]:
    """Convert a number from `_codes` to RGB."""
    return code >> 16, code >> 8 & 255, code & 255


def _codes(colors: np.ndarray) -> np.ndarray:
    """Encode RGB colours (*, 3) as one integer each, (*,)."""
    return colors.astype(np.int64) @ np.array([65536, 256, 1])
