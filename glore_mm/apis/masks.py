"""Convert colour masks and COCO annotations to class indices."""

import contextlib
import os
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from glore_mm.utils.annotations import read_lines
from glore_mm.utils.atomic_write import write_text
from glore_mm.utils.errors import UserError, error_summary, shorten, summarize_list
from glore_mm.utils.images import IMAGE_SUFFIXES, read_image
from glore_mm.utils.paths import expand_inputs, output_files
from glore_mm.visualization.drawing import index_image, save_image


def convert_masks(
    folder: str,
    out_dir: str,
    palette: Sequence[Sequence[int]],
    classes: Sequence[str] = (),
    others: int | None = None,
) -> Iterator[tuple[Path, np.ndarray]]:
    """Write the colour masks of a folder as palette PNGs of class indices.

    Args:
        folder (str): Folder of the masks.
        out_dir (str): Where to write, under the same names.
        palette (Sequence[Sequence[int]]): RGB of every class, 0 to 255.
        classes (Sequence[str]): Names of the classes, to write to `classes.txt`.
            Default: no such file.
        others (int, optional): Index of all other colours, such as 255. Default: other
            colours are an error.

    Yields:
        tuple[Path, np.ndarray]: Each written mask, and its number of pixels by index,
        (256,).

    Raises:
        UserError: A mask cannot be read, has other colours, or would be overwritten.
    """
    files = expand_inputs([folder], IMAGE_SUFFIXES)
    outputs = output_files(files, out_dir, lambda path: [f'{path.stem}.png'])
    for path, (output,) in outputs.items():
        labels = colors_to_indices(path, palette, others)
        save_image(index_image(labels, palette), output)
        yield output, np.bincount(labels.ravel(), minlength=256)
    _write_classes(out_dir, classes)


def convert_coco(file: str, out_dir: str) -> Iterator[Path]:
    """Write the annotations of a COCO JSON as palette PNGs of class indices.

    Class 0 is `background`. The categories follow in the order of their ids. Where
    objects overlap, the smallest is on top.

    Args:
        file (str): The annotations, with polygons or run-length encoded masks.
        out_dir (str): Where to write a mask for each image, under the same name, and
            the class names, `classes.txt`.

    Yields:
        Path: Each written mask.

    Raises:
        UserError: pycocotools is not installed, the file cannot be read, or a mask
            would be overwritten.
    """
    try:
        from pycocotools.coco import COCO
    except ImportError as error:
        raise UserError(f'{error}: pip install pycocotools') from error
    try:
        with contextlib.redirect_stdout(None):
            coco = COCO(file)
        categories = [coco.cats[key]['name'] for key in sorted(coco.cats)]
        index = {key: 1 + place for place, key in enumerate(sorted(coco.cats))}
        images = {image['file_name']: image for image in coco.imgs.values()}
        unknown = {each['image_id'] for each in coco.anns.values()} - {*coco.imgs}
    except Exception as error:  # any content can be wrong
        raise UserError(
            f'{file} cannot be read as COCO annotations: {error_summary(error)}. '
            'Expected a JSON file with images, annotations and categories.'
        ) from error
    if len(index) > 254:
        raise UserError(f'{file} has {len(index)} categories; at most 254 fit a mask')
    if unknown or len(images) < len(coco.imgs):
        found = 'several images with one file_name'
        if unknown:
            found = f'annotations of image {min(unknown, key=str)!r}, which it lacks'
        raise UserError(f'{file} has {found}. Correct the file.')
    colors = np.random.RandomState(0).randint(32, 256, (len(index), 3))
    palette = [[0, 0, 0], *colors.tolist()]
    # no path leads outside of out_dir
    inside = {
        name: os.path.normpath(os.path.join('/', name)).lstrip('/') for name in images
    }
    outputs = output_files(inside, out_dir, lambda path: [f'{path.stem}.png'])
    for name, image in images.items():
        try:
            labels = np.zeros((image['height'], image['width']), np.uint8)
            for each in coco.imgToAnns[image['id']]:
                if not each.get('segmentation'):
                    raise ValueError(f'annotation {each["id"]} has a box, no outline')
            objects = [
                (coco.annToMask(each) > 0, index[each['category_id']])
                for each in coco.imgToAnns[image['id']]
            ]
            for mask, label in sorted(objects, key=lambda each: -each[0].sum()):
                labels[mask] = label
        except Exception as error:
            raise UserError(
                f'{file}: the annotations of {name} cannot be drawn: '
                f'{type(error).__name__}: {error_summary(error)}'
            ) from error
        (output,) = outputs[name]
        save_image(index_image(labels, palette), output)
        yield output
    _write_classes(out_dir, ['background', *categories])


def _write_classes(out_dir: str, classes: Sequence[str]) -> None:
    if classes:
        write_text(Path(out_dir, 'classes.txt'), '\n'.join(classes) + '\n')


def read_color_file(path: str) -> tuple[list[list[int]], list[str]]:
    """Read the colours and names of classes from a text file.

    A line has the red, green and blue of a class, 0 to 255, and its name before or
    after them, with spaces, tabs, commas or semicolons between. The first line may have
    titles, as in `class_dict.csv` of data sets on Kaggle.

    Args:
        path (str): The file.

    Returns:
        tuple[list[list[int]], list[str]]: RGB and name of every class.

    Raises:
        UserError: There is no such file, or a line is wrong.
    """
    palette, names = [], []
    for number, line in read_lines(path, 'file of colours'):
        fields = re.split(r'\s*[,;\t]\s*', line)
        if len(fields) < 4:
            fields = re.split(r'[,;\s]+', line)
        # a number beside the three may be an index or an alpha channel
        for color, name, beside in (
            (fields[:3], fields[3:], fields[3:4]),
            (fields[-3:], fields[:-3], fields[-4:-3]),
        ):
            are_numbers = [field.isdecimal() for field in (*color, *beside)]
            if are_numbers == [True, True, True, False]:
                palette.append(list(map(int, color)))
                names.append(' '.join(name))
                break
        else:
            if number > 1 or re.search(r'\d', line):  # else it has the titles
                raise UserError(
                    f'{path}, line {number}: {shorten(line)}; expected red, green, '
                    'blue and a name, such as 128 64 128 road'
                )
    if twice := [color for color in palette if palette.count(color) > 1]:
        raise UserError(f'{path}: two classes have the colour {twice[0]}')
    if not palette or max(map(max, palette)) > 255:
        raise UserError(
            f'{path}: expected in each line red, green and blue from 0 to 255, and a '
            'name, such as 128 64 128 road'
        )
    return palette, names


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
        colors = [(code >> 16, code >> 8 & 255, code & 255) for code in unknown]
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
    counts: Counter[tuple[int, int, int]] = Counter()
    for path in expand_inputs([folder], IMAGE_SUFFIXES):
        found: Any = read_image(path).getcolors(256)  # None if there are more
        counts.update({color: count for count, color in found or ()})
        if found is None or len(counts) > 256:
            raise UserError(
                f'{folder} has more than 256 colours up to {path}: the files are not '
                'masks, or were saved as JPEG, which changes colours'
            )
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))


def _codes(colors: np.ndarray) -> np.ndarray:
    """Encode RGB colours (*, 3) as one integer each, (*,)."""
    return colors.astype(np.int64) @ np.array([65536, 256, 1])
