"""Files named on the command line: those to read, and those to write for each."""

import glob
import os
import os.path as osp
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from glore_mm.utils.errors import UserError, summarize_list


def list_files(folder: str) -> Iterator[str]:
    """All files below a folder; links to folders are followed.

    Hidden files and folders, and what macOS adds to archives (`__MACOSX`), are no data:
    they are passed over. Links that lead back are followed once.
    """
    seen = set()
    for path, folders, names in os.walk(folder, followlinks=True):
        place = osp.realpath(path)
        folders[:] = filter(is_data, folders if place not in seen else [])
        if place not in seen:
            yield from (osp.join(path, name) for name in names if is_data(name))
        seen.add(place)


def is_data(name: str) -> bool:
    """Whether a name in a folder is neither hidden nor added by macOS."""
    return not name.startswith('.') and name != '__MACOSX'


def expand_inputs(
    inputs: list[str], suffixes: tuple[str, ...], frame_suffixes: tuple[str, ...] = ()
) -> dict[str, str]:
    """Files named on the command line, directly, as a folder or as a glob pattern.

    What a folder holds beside them is counted and named on stderr.

    Args:
        inputs (list[str]): Files, folders, patterns.
        suffixes (tuple[str, ...]): What files of a folder must end with, lower case.
        frame_suffixes (tuple[str, ...]): The same for images: where a folder holds no
            other files, each folder of images in it is an input itself.

    Returns:
        dict[str, str]: The name of each file by its path, in the order given: relative
        to the folder, or to the part of a pattern that names one.

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
        for file in found:  # the folder of frames itself was given
            relative = osp.relpath(file, root or '.')
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
            f'{name} is an address; nothing is downloaded or streamed. Fetch it, and '
            'give the file.'
        )
    if name.isdigit():
        return f'{name}: no such file. Cameras are not read; record to a file first.'
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
    """The files to write for each input; nothing is written yet.

    Args:
        inputs (Mapping[str, str]): From `expand_inputs`.
        out_dir (str): Where to write, in the folders that the inputs are in.
        names (Callable): Gives the names of an input's files, or folders.
        legend (str, optional): Name of a file that is written for all inputs.

    Returns:
        dict[str, list[Path]]: Files by input.

    Raises:
        UserError: A file would replace an input, the file of another, the legend or a
            folder.
    """
    taken = {Path(path).resolve(): path for path in inputs}

    def claim(name: str | Path, what: str) -> Path:
        file = Path(out_dir, name)
        if file.resolve() in taken:
            raise UserError(
                f'{what} would be written over {taken[file.resolve()]} ({file}). Give '
                'another --out-dir, or the inputs one by one.'
            )
        if file.is_dir():
            raise UserError(
                f'{what} would be written over {file}, which exists. Remove it, or '
                'give another --out-dir.'
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
    """The name of a sample's file in its data set: with the folders there.

    Args:
        path (str): The file.
        dataset (Dataset): One of mmengine's; of several as one the names are relative
            to the folder that holds all.
    """
    roots = _data_roots(dataset)
    if len(getattr(dataset, 'datasets', ())) > 1 and roots:
        roots = [osp.commonpath(map(osp.abspath, roots))]
    for root in roots:
        name = osp.relpath(path, root)
        if not name.startswith('..'):
            return name
    return osp.basename(path)


def _data_roots(dataset: object) -> list[str]:
    """The folders that the files of a data set are in, or of those that it wraps."""
    inner = getattr(dataset, 'datasets', None)
    if inner is None and hasattr(dataset, 'dataset'):
        inner = [dataset.dataset]
    if inner is not None:
        return [root for each in inner for root in _data_roots(each)]
    return list(getattr(dataset, 'data_prefix', {}).values())
