"""Write generated data sets atomically."""

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

#: Kinds of generated data sets. The folder of a data set has a record `<kind>.json`.
KINDS = (
    'long_range_strips',
    'long_range_clips',
    'mini_cityscapes',
    'mini_imagenet',
    'mini_kinetics',
)
#: Splits of a generated data set; the index of a split is part of its seed.
SPLITS = ('train', 'val')


def sample_rng(seed: int, split: str, index: int) -> np.random.Generator:
    """Return the random generator of one sample.

    It does not depend on other samples, so a larger data set begins with the smaller
    one.
    """
    return np.random.default_rng([seed, SPLITS.index(split), index])


def read_record(root: str | os.PathLike[str]) -> dict[str, Any]:
    """Read the arguments that a data set was generated with; {} for other folders."""
    for kind in KINDS:
        with suppress(OSError, ValueError):
            return json.loads(Path(root, f'{kind}.json').read_text())
    return {}


def check_int(name: str, value: int, least: int, most: int | None = None) -> int:
    """Check that an argument is an integer from `least` to `most`.

    Raises:
        ValueError: It is not.
    """
    if not isinstance(value, Integral) or isinstance(value, bool) or value < least:
        raise ValueError(f'{name} must be an integer of {least} or more, got {value!r}')
    if most is not None and value > most:
        raise ValueError(f'{name} must be at most {most}, got {value}')
    return int(value)


def create_dataset(
    root: Path,
    name: str,
    record: dict[str, Any],
    files: Iterable[str],
    write: Callable[[Path], None],
) -> Path:
    """Write a data set to a new folder, unless it already exists.

    The folder is written atomically.

    Args:
        root (Path): Folder to create.
        name (str): Kind of the data set, one of KINDS.
        record (dict): Arguments that generated the data set, as JSON types.
        files (Iterable[str]): Paths relative to root that must exist.
        write (Callable[[Path], None]): Writes the files into a given folder.

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
        # `folder` itself has permissions for its owner only
        draft = Path(folder) / 'draft'
        draft.mkdir()
        write(draft)
        (draft / f'{name}.json').write_text(json.dumps(record, indent=2) + '\n')
        try:
            draft.rename(root)
        except OSError:  # another process may have written it meanwhile
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
    """Write a video that has the same bytes on every machine.

    Args:
        path (Path): File to write; its suffix determines the container.
        frames (np.ndarray): uint8 (T, H, W, 3), RGB.
        codec (str): Name of an FFmpeg encoder.
        rate (Fraction | int): Frames per second.
        pix_fmt (str): FFmpeg's name of the pixel format.
        options (dict[str, str], optional): Options of the encoder.
    """
    import av  # only needed for videos

    with av.open(str(path), 'w') as container:
        stream: Any = container.add_stream(codec, rate=rate, options=options)
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = pix_fmt
        stream.codec_context.thread_count = 1  # the bytes depend on it
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, 'rgb24')))
        container.mux(stream.encode())


def run_writer(
    write: Callable[..., Path], kind: str, args: list[str] | None = None
) -> None:
    """Write a data set from the command line, with an option for each keyword argument.

    Args:
        write (Callable): Function that writes the data set to a root folder. The
            defaults of its other arguments are numbers or tuples of numbers.
        kind (str): Kind of the data set, for the help text.
        args (list[str], optional): Command-line arguments. Default: sys.argv.
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
