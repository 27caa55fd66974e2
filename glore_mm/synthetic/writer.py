"""Write a generated data set atomically, and once."""

import argparse
import inspect
import json
import os
import tempfile
from collections.abc import Callable, Iterable
from contextlib import suppress
from fractions import Fraction
from numbers import Integral
from pathlib import Path
from typing import Any

import numpy as np

#: Kinds of generated data sets; `<kind>.json` in the folder of one is its record.
KINDS = (
    'long_range_strips',
    'long_range_clips',
    'mini_cityscapes',
    'mini_imagenet',
    'mini_kinetics',
)


#: Splits of a generated data set, in the order of their seeds.
SPLITS = ('train', 'val')


def sample_rng(seed: int, split: str, index: int) -> np.random.Generator:
    """The random numbers of one sample, so that a larger data set begins alike."""
    return np.random.default_rng([seed, SPLITS.index(split), index])


def read_record(root: str | os.PathLike[str]) -> dict[str, Any]:
    """What a generated data set was written with; empty of other folders."""
    for kind in KINDS:
        with suppress(OSError, ValueError):
            return json.loads(Path(root, f'{kind}.json').read_text())
    return {}


def check_int(name: str, value: int, least: int, most: int | None = None) -> int:
    """Check an argument that must be an integer of `least` or more, up to `most`.

    Raises:
        ValueError: It is not.
    """
    if not isinstance(value, Integral) or isinstance(value, bool) or value < least:
        raise ValueError(f'{name} must be an integer of {least} or more, got {value!r}')
    if most is not None and value > most:
        raise ValueError(f'{name} must be {most} at most, got {value}')
    return int(value)


def create_dataset(
    root: Path,
    name: str,
    record: dict[str, Any],
    files: Iterable[str],
    write: Callable[[Path], None],
) -> Path:
    """Write a data set to a new folder, unless it is there already.

    The folder appears under its name when it is complete.

    Args:
        root (Path): Folder to create.
        name (str): One of KINDS.
        record (dict): What distinguishes the data set from others, plain values.
        files (Iterable[str]): Paths below root that must be there.
        write (Callable[[Path], None]): Writes the files into the folder that it is
            given.

    Returns:
        Path: The root.

    Raises:
        FileExistsError: If root exists and is not this data set.
    """
    assert name in KINDS, name
    files = list(files)

    def is_written() -> bool:
        try:
            same = json.loads((root / f'{name}.json').read_text()) == record
        except (OSError, ValueError):
            return False
        return same and all((root / path).is_file() for path in files)

    if is_written():
        return root
    if root.exists():
        raise FileExistsError(
            f'{root} exists and is not the complete data set of these arguments: '
            'remove it, or write to another folder'
        )
    root.parent.mkdir(parents=True, exist_ok=True)
    prefix = f'.{root.name}-'
    with tempfile.TemporaryDirectory(dir=root.parent, prefix=prefix) as folder:
        draft = Path(folder) / 'draft'  # the folder itself is closed to other users
        draft.mkdir()
        write(draft)
        (draft / f'{name}.json').write_text(json.dumps(record, indent=2) + '\n')
        try:
            draft.rename(root)
        except OSError:  # another process may have been faster
            if not is_written():
                raise
    return root


def write_video(
    path: Path,
    frames: np.ndarray,
    codec: str,
    rate: Fraction | int,
    pix_fmt: str,
    options: dict[str, str] | None = None,
) -> None:
    """Write a video, the same to the byte on every machine.

    Args:
        path (Path): File to write; its ending says which container.
        frames (np.ndarray): uint8 (T, H, W, 3), RGB.
        codec (str): One of FFmpeg's encoders.
        rate (Fraction | int): Frames a second.
        pix_fmt (str): Of the encoded pixels, as FFmpeg calls it.
        options (dict[str, str], optional): Of the encoder.
    """
    import av  # only the data sets of videos need it

    with av.open(str(path), 'w') as container:
        stream: Any = container.add_stream(codec, rate=rate, options=options)
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = pix_fmt
        stream.codec_context.thread_count = 1  # more would make other files
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, 'rgb24')))
        container.mux(stream.encode())


def run_writer(
    write: Callable[..., Path], kind: str, args: list[str] | None = None
) -> None:
    """Write a data set from the command line: a root, and an option per default.

    Args:
        write (Callable): Takes the root; its other arguments have numbers, or tuples of
            numbers, as defaults.
        kind (str): Of the data set, for the help.
        args (list[str], optional): Default: those of the process.
    """
    parser = argparse.ArgumentParser(description=f'Write a small synthetic {kind}.')
    parser.add_argument('root', help='folder to create')
    for name, parameter in list(inspect.signature(write).parameters.items())[1:]:
        default = parameter.default
        number = default[0] if isinstance(default, tuple) else default
        parser.add_argument(
            f'--{name.replace("_", "-")}',
            type=type(number),
            nargs=len(default) if isinstance(default, tuple) else None,
            default=default,
            help='default: %(default)s',
        )
    options = vars(parser.parse_args(args))
    try:
        print(write(**options))
    except (ValueError, FileExistsError) as error:
        parser.error(str(error))
