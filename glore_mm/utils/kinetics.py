"""Write the list file of a downloaded Kinetics split."""

import csv
import io
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from glore_mm.utils.atomic_write import write_text
from glore_mm.utils.errors import UserError, shorten, summarize_list

_COLUMNS = ('label', 'youtube_id', 'time_start', 'time_end')
_SUFFIXES = ('.mp4', '.mkv', '.webm', '.avi')


def kinetics400_classes() -> tuple[str, ...]:
    """Return the 400 class names in the order of their labels, from torchvision."""
    from torchvision.models.video import R3D_18_Weights  # slow to import

    return tuple(R3D_18_Weights.KINETICS400_V1.meta['categories'])


def write_kinetics_list(
    annotations: str,
    videos: str,
    output: str,
    classes: Sequence[str] | None = None,
) -> tuple[int, int]:
    """Write a line `<path> <label>` for every annotated video that exists.

    Args:
        annotations (str): CSV file of Kinetics with the columns label, youtube_id,
            time_start and time_end.
        videos (str): Folder of the videos, with or without subfolders. Videos are named
            `<youtube_id>_<start>_<end>`, the times with six digits each. The paths in
            the list are relative to this folder.
        output (str): The list to write.
        classes (Sequence[str], optional): Class names in the order of their labels.
            Default: those of Kinetics-400.

    Returns:
        tuple[int, int]: Number of videos in the list, and of annotated videos that are
        missing.

    Raises:
        UserError: The CSV file is missing or malformed, a label is not in `classes`, no
            annotated video exists, or the path of a video does not fit into a line.
    """
    found = {
        Path(name).stem: Path(folder, name).relative_to(videos).as_posix()
        for folder, _, names in os.walk(videos)
        for name in names
        if name.lower().endswith(_SUFFIXES)
    }
    classes = classes or kinetics400_classes()
    labels = {name: label for label, name in enumerate(classes)}
    lines, missing = [], []
    for number, row in _rows(annotations):
        try:
            start, end = float(row['time_start']), float(row['time_end'])
            stem = f'{row["youtube_id"]}_{start:06.0f}_{end:06.0f}'
            label = labels[row['label'].replace('"', '')]
        except (TypeError, ValueError, AttributeError) as error:
            raise UserError(
                f'{annotations}, line {number}: expected a label, an id and two times '
                f'in seconds, found {shorten(str(list(row.values())))}'
            ) from error
        except KeyError as error:
            raise UserError(
                f'{annotations}, line {number}: {shorten(error.args[0])} is not one of '
                f'the {len(labels)} classes. Give the class names of the data set with '
                '--classes'
            ) from error
        if stem not in found:
            missing.append(stem)
            continue
        path = found[stem]
        if path.encode(errors='replace').decode().strip().partition('\n')[0] != path:
            raise UserError(
                f'{videos}: {shorten(path)} cannot be written to a list: it begins '
                'with a space, or has a line break or bytes that are not UTF-8. Rename '
                'it.'
            )
        lines.append(f'{path} {label}\n')
    if not lines:
        raise UserError(
            f'{videos} has none of the {len(missing)} videos that {annotations} lists'
            + (f'; expected names such as {missing[0]}.mp4' if missing else '')
        )
    write_text(output, ''.join(lines))
    return len(lines), len(missing)


def _rows(annotations: str) -> Iterator[tuple[int, dict[str, str]]]:
    """Read the rows of the CSV file with their line numbers."""
    try:
        with open(annotations, newline='', encoding='utf-8-sig') as file:
            reader = csv.DictReader(io.StringIO(file.read(), newline=''))
    except OSError as error:
        raise UserError(f'{annotations} cannot be read: {error.strerror}') from error
    except UnicodeDecodeError as error:
        raise UserError(f'{annotations} is not UTF-8 text: {error}') from error
    try:
        columns = reader.fieldnames or ()
        if absent := [name for name in _COLUMNS if name not in columns]:
            raise UserError(
                f'{annotations} has no column {", ".join(absent)}; it has: '
                f'{summarize_list(map(shorten, columns)) or "none"}'
            )
        for row in reader:
            yield reader.line_num, row
    except csv.Error as error:
        number = reader.reader.line_num  # DictReader.line_num is that of the last row
        raise UserError(
            f'{annotations}, line {number}, cannot be read as CSV: {error}'
        ) from error
