"""Files named on the command line: those to read, and those to write for each."""

import glob
import os
import os.path as osp
from collections.abc import Callable
from pathlib import Path

from glore_mm.utils.atomic_write import make_dir
from glore_mm.utils.errors import UserError


def expand_inputs(inputs: list[str], suffixes: tuple[str, ...]) -> list[str]:
    """Files named on the command line, directly, as a folder or as a glob pattern.

    Args:
        inputs (list[str]): Files, folders, patterns.
        suffixes (tuple[str, ...]): What files of a folder must end with, lower case.

    Returns:
        list[str]: Paths, in the order given, those of a folder sorted.

    Raises:
        UserError: An input matches no file.
    """
    files = []
    for name in inputs:
        if osp.isfile(name):
            found = [name]
        elif osp.isdir(name):
            found = [
                osp.join(folder, file)
                for folder, _, names in os.walk(name)
                for file in names
                if file.lower().endswith(suffixes)
            ]
        else:
            found = [f for f in glob.glob(name, recursive=True) if osp.isfile(f)]
        if not found:
            raise UserError(
                f'{name}: no such file, no folder with files ending in '
                f'{", ".join(suffixes)}, no pattern that matches any'
            )
        files += sorted(found)
    return files


def output_files(
    inputs: list[str],
    out_dir: str,
    names: Callable[[Path], list[str]],
    legend: str | None = None,
) -> dict[str, list[Path]]:
    """The files to write for each input; makes their folder.

    Args:
        inputs (list[str]): Paths.
        out_dir (str): Where to write.
        names (Callable): Gives the names of an input's files, or folders.
        legend (str, optional): Name of a file that is written for all inputs.

    Returns:
        dict[str, list[Path]]: Files by input.

    Raises:
        UserError: A file would replace an input, the file of another or the legend,
            or the folder cannot be made.
    """
    taken = {Path(path).resolve(): path for path in inputs}

    def claim(name: str, what: str) -> Path:
        file = Path(out_dir, name)
        if file.resolve() in taken:
            raise UserError(
                f'{what} would be written over {taken[file.resolve()]} ({file}). Give '
                'another --out-dir, or the inputs one by one.'
            )
        taken[file.resolve()] = what
        return file

    if legend:
        claim(legend, 'the legend')
    outputs = {}
    for path in inputs:
        what = f'the result of {path}'
        outputs[path] = [claim(name, what) for name in names(Path(path))]
    make_dir(out_dir)
    return outputs
