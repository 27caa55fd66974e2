"""Input files from the command line, and the output files for each of them."""

import glob
import os
import os.path as osp
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from glore_mm.utils.datasets import unwrap
from glore_mm.utils.errors import UserError, summarize_list


def list_files(folder: str) -> Iterator[str]:
    """Iterate over all files below a folder.

    Follows links to folders, each folder once. Skips hidden files and folders, and
    `__MACOSX`, which macOS adds to archives.
    """
    seen = set()
    for path, folders, names in os.walk(folder, followlinks=True):
        place = osp.realpath(path)
        folders[:] = filter(is_data, folders if place not in seen else [])
        if place not in seen:
            yield from (osp.join(path, name) for name in names if is_data(name))
        seen.add(place)


def list_names(folder: str) -> list[str]:
    """Return the names in a folder; none if it cannot be read."""
    try:
        return os.listdir(folder)
    except OSError:
        return []


def is_data(name: str) -> bool:
    """Whether a file or folder name is neither hidden nor added by macOS."""
    return not name.startswith('.') and name != '__MACOSX'


def describe_parent(path: str) -> str:
    """Say what is in the nearest folder above a path that does not exist.

    Returns:
        str: Such as '/data/x/images has: train, validation.'
    """
    folder = osp.dirname(osp.abspath(path))
    while not osp.isdir(folder):
        folder = osp.dirname(folder)
    names = sorted(filter(is_data, list_names(folder)))
    return f'{folder} has: {summarize_list(names) or "nothing"}.'


def expand_inputs(
    inputs: list[str], suffixes: tuple[str, ...], frame_suffixes: tuple[str, ...] = ()
) -> dict[str, str]:
    """Find the files that the command line gives as files, folders or glob patterns.

    Reports the files of other kinds in a folder on stderr.

    Args:
        inputs (list[str]): Files, folders, patterns.
        suffixes (tuple[str, ...]): Allowed endings of files in a folder, lower case.
        frame_suffixes (tuple[str, ...]): Allowed endings of frames, lower case. If a
            folder has no files with `suffixes`, each of its folders with frames is an
            input.

    Returns:
        dict[str, str]: Name of each file by its path, in the given order. Names are
        relative to the folder, or to the folder before the first wildcard.

    Raises:
        UserError: An input matches no file.
    """
    files: dict[str, str] = {}
    for name in inputs:
        root, found = osp.dirname(name), [name]
        if osp.isdir(name):
            root, everything = name, sorted(list_files(name))
            found = _with_suffix(everything, suffixes)
            frames = [] if found else _with_suffix(everything, frame_suffixes)
            _report_left_out(sorted({*everything} - {*found, *frames}))
            found += sorted({osp.dirname(file) for file in frames})
        elif not osp.isfile(name):
            root = osp.dirname(re.split(r'[*?[]', name)[0])
            found = sorted(filter(osp.isfile, glob.glob(name, recursive=True)))
        if not found:
            raise UserError(_no_file(name, suffixes))
        for file in found:
            relative = osp.relpath(file, root or '.')
            # '.': the input itself is a folder of frames
            files[file] = osp.basename(file) if relative == '.' else relative
    return files


def _with_suffix(files: list[str], suffixes: tuple[str, ...]) -> list[str]:
    return [file for file in files if suffixes and file.lower().endswith(suffixes)]


def _report_left_out(files: list[str]) -> None:
    if files:
        print(
            f'left out {len(files)} file(s) of other kinds: {summarize_list(files)}',
            file=sys.stderr,
        )


def _no_file(name: str, suffixes: tuple[str, ...]) -> str:
    if '://' in name:
        return (
            f'{name} is an address; nothing is downloaded or streamed. Download it and '
            'give the file.'
        )
    if name.isdigit():
        return (
            f'{name}: no such file. Cameras are not supported; record to a file first.'
        )
    return (
        f'{name}: no such file, no folder with files ending in {", ".join(suffixes)}, '
        'no pattern that matches any'
    )


def output_files(
    inputs: Mapping[str, str],
    out_dir: str,
    names: Callable[[Path], list[str]],
    legend: str | None = None,
) -> dict[str, list[Path]]:
    """Choose and check the files to write for each input; write nothing.

    Args:
        inputs (Mapping[str, str]): From `expand_inputs`.
        out_dir (str): Where to write, with the subfolders of the inputs.
        names (Callable): Returns the names of an input's output files or folders.
        legend (str, optional): Name of a file that is written once for all inputs.

    Returns:
        dict[str, list[Path]]: Output files by input.

    Raises:
        UserError: A file would overwrite an input, the output of another input, the
            legend or a folder.
    """
    taken = {Path(path).resolve(): path for path in inputs}

    def claim(name: str | Path, what: str) -> Path:
        file = Path(out_dir, name)
        if file.resolve() in taken:
            raise UserError(
                f'{what} would overwrite {taken[file.resolve()]} ({file}). Give '
                'another output folder, or the inputs one by one.'
            )
        if file.is_dir():
            raise UserError(
                f'{what} would overwrite the folder {file}. Remove it, or give another '
                'output folder.'
            )
        taken[file.resolve()] = what
        return file

    if legend:
        claim(legend, 'the legend')
    outputs = {}
    for path, name in inputs.items():
        what, folder = f'the result of {path}', Path(name).parent
        outputs[path] = [claim(folder / each, what) for each in names(Path(name))]
    return outputs


def relative_name(path: str, dataset: object) -> str:
    """Return the path of a sample's file relative to its data set.

    A file outside the data set keeps its whole path, as names must not be the same.

    Args:
        path (str): The file.
        dataset (Dataset): A data set of mmengine. For concatenated data sets the result
            is relative to their common folder.
    """
    roots = [
        root
        for leaf in unwrap(dataset)
        for root in getattr(leaf, 'data_prefix', {}).values()
    ]
    if len(getattr(dataset, 'datasets', ())) > 1 and roots:
        roots = [osp.commonpath(map(osp.abspath, roots))]
    for root in roots:
        name = osp.relpath(path, root)
        if not name.startswith('..'):
            return name
    return osp.abspath(path).lstrip(os.sep)
