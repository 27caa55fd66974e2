"""A small synthetic video data set in the layout of Kinetics-400.

A red disc and a blue square move left and right periodically, each in its own box. The
boxes are diagonally opposite, so that each half of the image contains one of them. The
class is the phase difference of the two motions: the same direction, opposite
directions, or one a quarter of a period behind the other.

By construction, no single frame and no half of the image contains information about the
class: the start position and the phase of an object are drawn uniformly and
independently of the class, and an object that leaves its box on one side enters it on
the other side. So the motion of one object, and the positions of both objects in one
frame, have the same distribution in all classes. A fixed quantiser prevents the encoder
from passing information between halves or frames.

Run ``python -m glore_mm.synthetic.mini_kinetics ROOT`` to write one.
"""

from fractions import Fraction
from functools import partial
from pathlib import Path

import cv2
import numpy as np
from numpy.random import Generator

from glore_mm.synthetic.writer import (
    check_int,
    create_dataset,
    run_writer,
    sample_rng,
    write_video,
)

#: Delay of the blue square relative to the red disc, in periods, by class name.
LAGS = {
    'same_direction': 0.0,
    'opposite_directions': 0.5,
    'blue_follows_red': 0.25,
    'red_follows_blue': 0.75,
}
CLASSES = tuple(LAGS)

_VERSION = 1  # increase it when the generated videos change
_PERIOD = 30, 34  # frames; a clip of 8 frames with interval 4 covers nearly one period
_REACH = 0.48, 0.52  # of a motion, in widths of the box
_RADIUS = 0.22, 0.25  # of an object, in heights of the box
_MARGIN = 0.03  # around a box, in quarters of the image
_RED, _BLUE = (215, 60, 45), (50, 90, 215)
_SIZES = ((256, 320),) * 4 + ((256, 340), (320, 256), (240, 320), (180, 240))
_RATES = tuple(map(Fraction, ('30', '30000/1001', '25', '24', '15')))
_FORMATS = (('libx264', '.mp4'), ('mpeg4', '.mp4'), ('mpeg4', '.avi'))
_QUANTISER = dict(libx264=dict(qp='24'), mpeg4=dict(qmin='4', qmax='4'))
_LETTERS = np.array([*'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz'])


def write_mini_kinetics(
    root: str | Path,
    num_train: int = 480,
    num_val: int = 96,
    scale: float = 1.0,
    seed: int = 0,
) -> Path:
    """Write a synthetic data set in the layout of Kinetics-400, unless it exists.

    Writes ``videos_train`` and ``videos_val`` with a folder for each class, their lists
    ``kinetics400_{train,val}_list_videos.txt``, and ``label_map.txt``. Sample i of a
    split depends only on the seed, i and the scale, so a larger data set begins with
    the smaller one. The folder is written atomically.

    Args:
        root (str | Path): Folder to create.
        num_train (int): Number of training videos.
        num_val (int): Number of validation videos.
        scale (float): Scale of the frames; at 1 most are 320 wide and 256 high.
        seed (int): Seed of the random videos.

    Returns:
        Path: The root.

    Raises:
        ValueError: If an argument is out of its range.
        FileExistsError: If root exists and is not the data set of these arguments.
    """
    counts = dict(train=check_int('num_train', num_train, 1))
    counts |= dict(val=check_int('num_val', num_val, 1))
    seed = check_int('seed', seed, 0)
    if not 0.1 <= scale <= 10:
        raise ValueError(f'scale must be from 0.1 to 10, got {scale!r}')
    names = {
        split: [_name(split, i, seed) for i in range(count)]
        for split, count in counts.items()
    }
    record = dict(version=_VERSION, seed=seed, scale=scale, **counts)

    def write(folder: Path) -> None:
        for split in counts:
            for i, name in enumerate(names[split]):
                _write_video(folder / f'videos_{split}' / name, split, i, scale, seed)
            lines = [f'{n} {i % len(CLASSES)}\n' for i, n in enumerate(names[split])]
            lists = folder / f'kinetics400_{split}_list_videos.txt'
            lists.write_text(''.join(lines))
        (folder / 'label_map.txt').write_text('\n'.join(CLASSES) + '\n')

    files = [f'videos_{split}/{name}' for split in names for name in names[split]]
    return create_dataset(Path(root), 'mini_kinetics', record, files, write)


def draw_video(
    rng: Generator, lag: float, size: tuple[int, int], num_frames: int
) -> np.ndarray:
    """Draw the frames of a video.

    Args:
        rng (np.random.Generator): Source of everything except the class.
        lag (float): The class, a value of `LAGS`.
        size (tuple[int, int]): Height and width in pixels.
        num_frames (int): Number of frames.

    Returns:
        np.ndarray: uint8, (num_frames, height, width, 3), RGB.
    """
    picture, boxes = _background(rng, size)
    frames = np.repeat(picture[None], num_frames, axis=0)
    phase, period = rng.random(), rng.uniform(*_PERIOD)
    reach, radius = rng.uniform(*_REACH), rng.uniform(*_RADIUS)
    times = np.arange(num_frames) / period + phase
    objects = (boxes[0], 0, np.hypot, _RED), (boxes[1], lag, _square, _BLUE)
    for (rows, columns), delay, shape, colour in objects:
        height, width = rows.stop - rows.start, columns.stop - columns.start
        motion = 2 * np.abs((times - delay) % 1 - 0.5)  # 1 → 0 → 1
        x = (rng.random() + reach * motion) * width
        y = (0.5 + rng.uniform(-0.15, 0.15)) * height
        # offsets: horizontal (T, W), periodic in the box, and vertical (H, 1)
        dx = (np.arange(width) - x[:, None] + width / 2) % width - width / 2
        dy = np.arange(height)[:, None] - y
        distance = shape(dx[:, None], dy)
        cover = np.clip(radius * height - distance + 0.5, 0, 1)[..., None]
        light = 1 - 0.2 * dy[..., None] / height  # from above
        box = frames[:, rows, columns]
        box += cover * (light * colour - box)
    return np.clip(frames, 0, 255).astype(np.uint8)


def _square(dx: np.ndarray, dy: np.ndarray) -> np.ndarray:
    return np.maximum(np.abs(dx), np.abs(dy)) * 1.1


def _background(
    rng: Generator, size: tuple[int, int]
) -> tuple[np.ndarray, list[tuple[slice, ...]]]:
    """Draw a smooth background (H, W, 3), float32, with the boxes of both objects."""
    picture = np.full((*size, 3), rng.uniform(105, 125), np.float32)
    for cells, contrast in ((4, 5), (9, 2)):
        noise = contrast * rng.standard_normal((cells, cells, 3))
        picture += cv2.resize(noise, size[::-1], interpolation=cv2.INTER_CUBIC)
    boxes = [
        tuple(
            slice(round((k + _MARGIN) * n / 2), round((k + 1 - _MARGIN) * n / 2))
            for n in size
        )
        for k in (0, 1)
    ]
    for box in boxes:
        picture[box] += 30
    return picture, boxes


def _format(rng: Generator) -> tuple[str, str]:
    """Draw codec and suffix; the first draw in both `_name` and `_write_video`."""
    return _FORMATS[rng.integers(len(_FORMATS))]


def _name(split: str, i: int, seed: int) -> str:
    """Return a name `<class>/<id>_<start>_<end>.<container>`, as in Kinetics."""
    rng = sample_rng(seed, split, i)
    _, suffix = _format(rng)
    start = rng.integers(300)
    # the sample number makes the name unique
    video = ''.join(rng.choice(_LETTERS, 6)) + f'{i:05d}'
    label = CLASSES[i % len(CLASSES)]
    return f'{label}/{video}_{start:06d}_{start + 10:06d}{suffix}'


def _write_video(path: Path, split: str, i: int, scale: float, seed: int) -> None:
    rng = sample_rng(seed, split, i)
    codec, _ = _format(rng)
    # H.264 needs even sides
    height, width = (
        2 * max(round(side * scale / 2), 8)
        for side in _SIZES[rng.integers(len(_SIZES))]
    )
    rate = _RATES[rng.integers(len(_RATES))]
    lag = LAGS[CLASSES[i % len(CLASSES)]]
    frames = draw_video(rng, lag, (height, width), int(rng.integers(30, 61)))
    path.parent.mkdir(parents=True, exist_ok=True)
    write_video(path, frames, codec, rate, 'yuv420p', _QUANTISER[codec])


#: Command-line entry point; writes a data set.
main = partial(run_writer, write_mini_kinetics, 'Kinetics')


if __name__ == '__main__':
    main()
