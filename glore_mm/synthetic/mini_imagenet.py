"""A small synthetic image data set in the layout of ImageNet.

Two clocks with one hand each stand diagonally opposite, so that each half of the
picture, left, right, top or bottom, holds one of them. The class is by how many tenths
of a turn the hand of the lower clock is ahead of that of the upper one, clockwise. The
half of a face to which the hand points is coloured, which even 32 × 32 pixels show.

No half of the picture tells the class, by construction: the upper hand's angle is
uniform on the circle, and the lower hand's is that plus what the class adds, thus
uniform too, whatever the class. Everything else, sizes, places, light and noise, is
drawn independently of the class. A clock keeps so far from the middle lines that no
block of the JPEG file holds parts of it and of another half.

Run ``python -m glore_mm.synthetic.mini_imagenet ROOT`` to write one.
"""

import math
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.random import Generator
from PIL import Image

from glore_mm.synthetic.writer import (
    SPLITS,
    check_int,
    create_dataset,
    run_writer,
    sample_rng,
)

#: The lower hand is ahead of the upper one by so many tenths of a turn.
CLASSES = tuple(f'ahead_{tenths}' for tenths in range(10))

_VERSION = 1  # of the images; raise it when a change alters them
_SIZES = ((375, 500),) * 5 + ((500, 375),) * 3
_SIZES += (333, 500), (500, 333), (480, 640), (500, 500), (225, 300), (300, 225)
_JPEG = dict(quality=90, subsampling=0)  # no subsampling: its blocks are 8 × 8 pixels
_BLOCK = 8
_MARGIN = 0.04  # from the middle lines to a clock, in shorter sides of the picture
_REACH = 0.46  # to its far side: a square crop of the centre shows both clocks
_DIAMETER = 0.88, 0.94  # of a clock, in parts of the room that this leaves
_JITTER = 0.02  # of the lower hand, in turns

_Colour: TypeAlias = tuple[int, int, int]
# Colours of rim, marks and hand, and of the two halves of the face
_UPPER = (70, 60, 60), (240, 234, 220), (214, 62, 52)
_LOWER = (225, 220, 210), (30, 52, 92), (244, 190, 62)


def write_mini_imagenet(
    root: str | Path,
    num_train: int = 1000,
    num_val: int = 200,
    scale: float = 1.0,
    seed: int = 0,
) -> Path:
    """Write a synthetic data set in the layout of ImageNet, unless it is there.

    Sample i of a split depends on the seed, i and the scale only, so a larger data set
    begins with the smaller one. The folder appears under its name when it is complete:
    ``train`` and ``val`` with a folder for each class.

    Args:
        root (str | Path): Folder to create.
        num_train (int): Number of training images.
        num_val (int): Number of validation images.
        scale (float): Of the images; at 1 most are 500×375 or 375×500.
        seed (int): Seed of the random images.

    Returns:
        Path: The root.

    Raises:
        ValueError: If an argument is out of its range.
        FileExistsError: If root exists and is not the data set of these arguments.
    """
    counts = dict(train=check_int('num_train', num_train, 1))
    counts |= dict(val=check_int('num_val', num_val, 1))
    seed = check_int('seed', seed, 0)
    if not 0.2 <= scale <= 10:
        raise ValueError(f'scale must be from 0.2 to 10, got {scale!r}')
    record = dict(version=_VERSION, seed=seed, scale=scale, **counts)
    samples = [(split, i) for split in SPLITS for i in range(counts[split])]

    def write(folder: Path) -> None:
        for split, i in samples:
            rng = sample_rng(seed, split, i)
            sides = _SIZES[rng.integers(len(_SIZES))]
            height, width = (round(side * scale) for side in sides)
            path = folder / _file(split, i)
            path.parent.mkdir(parents=True, exist_ok=True)
            image = Image.fromarray(draw_image(rng, i % len(CLASSES), (height, width)))
            image.save(path, 'JPEG', **_JPEG)

    files = [_file(split, i) for split, i in samples]
    return create_dataset(Path(root), 'mini_imagenet', record, files, write)


def draw_image(rng: Generator, label: int, size: tuple[int, int]) -> np.ndarray:
    """Draw an image.

    Args:
        rng (np.random.Generator): Source of everything but the class.
        label (int): The class, an index of `CLASSES`.
        size (tuple[int, int]): Height and width in pixels.

    Returns:
        np.ndarray: uint8, (height, width, 3), RGB.
    """
    picture = _wall(rng, size)
    upper = rng.random()
    lower = upper + label / len(CLASSES) + rng.uniform(-_JITTER, _JITTER)
    _clock(picture, rng, -1, upper, _disc, _UPPER)
    _clock(picture, rng, 1, lower, _tile, _LOWER)
    picture += rng.normal(0, 2.5, (*size, 1))  # grain, the same in all channels
    return np.clip(picture, 0, 255).astype(np.uint8)


def _wall(rng: Generator, size: tuple[int, int]) -> np.ndarray:
    """A softly lit background, (H, W, 3), float64."""
    orders = np.arange(5)
    waves = rng.standard_normal((3, 5, 5)) + rng.standard_normal((5, 5))
    waves *= 8 / (1 + orders[:, None] + orders)
    waves[:, 0, 0] = rng.uniform(118, 142) + rng.uniform(-14, 14, 3)
    down, across = (
        np.cos(np.pi * np.outer((np.arange(n) + 0.5) / n, orders)) for n in size
    )
    return np.stack([down @ wave @ across.T for wave in waves], axis=-1)


def _clock(
    picture: np.ndarray,
    rng: Generator,
    side: int,
    turn: float,
    shape: Callable[[np.ndarray, np.ndarray], np.ndarray],
    colours: tuple[_Colour, _Colour, _Colour],
) -> None:
    """Draw a clock whose hand points to `turn`, clockwise from the top, in turns.

    It stands in the upper left quarter where side is −1, in the lower right where 1.
    """
    lines, face, half = colours
    shorter = min(picture.shape[:2])
    near, far = max(_MARGIN * shorter, _BLOCK), _REACH * shorter
    middle = [n / 2 + side * (near + far) / 2 for n in picture.shape[:2]]
    room = (far - near) / 2
    radius = rng.uniform(*_DIAMETER) * room
    spans = [(math.ceil(m - room), math.floor(m + room)) for m in middle]
    box = picture[tuple(slice(*span) for span in spans)]
    y, x = (m + rng.uniform(-1, 1) * (room - radius) for m in middle)
    # in radii from the clock's centre, (h, 1) and (w,)
    dy = (np.arange(*spans[0])[:, None] + 0.5 - y) / radius
    dx = (np.arange(*spans[1]) + 0.5 - x) / radius
    light = 1 - 0.08 * dy[..., None]  # from above

    def paint(colour: _Colour, depth: np.ndarray) -> None:
        """Paint what is at a positive depth, which is given in radii."""
        cover = np.clip(depth * radius + 0.5, 0, 1)[..., None]
        box[...] += cover * (light * colour - box)

    distance, from_centre = shape(dx, dy), np.hypot(dx, dy)
    angle = 2 * math.pi * turn
    along = dx * math.sin(angle) - dy * math.cos(angle)
    across = np.abs(dx * math.cos(angle) + dy * math.sin(angle))
    paint(lines, 1 - distance)
    paint(face, 0.88 - distance)
    paint(half, np.minimum(0.88 - distance, along))
    turns = np.arctan2(dx, -dy) / (2 * math.pi)
    off = np.abs(turns - np.round(turns * 10) / 10) * 2 * math.pi * from_centre
    paint(lines, np.minimum(0.03 - off, 0.06 - np.abs(from_centre - 0.76)))
    width = 0.1 - 0.08 * along  # of half the hand, which is narrower at its tip
    ends = np.minimum(along + 0.2, 0.8 - along)
    paint(lines, np.maximum(np.minimum(width - across, ends), 0.13 - from_centre))


def _disc(dx: np.ndarray, dy: np.ndarray) -> np.ndarray:
    """The norm whose unit ball is a disc."""
    return np.hypot(dx, dy)


def _tile(dx: np.ndarray, dy: np.ndarray) -> np.ndarray:
    """The norm whose unit ball is a square with round corners."""
    return np.sqrt(np.hypot(dx * dx, dy * dy))


def _file(split: str, i: int) -> str:
    """Path of sample i, relative to the root, named as ImageNet's are."""
    name = CLASSES[i % len(CLASSES)]
    number = f'{name}_{i}' if split == 'train' else f'mini_val_{i + 1:08d}'
    return f'{split}/{name}/{number}.JPEG'


#: main(args): write a data set from the command line.
main = partial(run_writer, write_mini_imagenet, 'ImageNet')


if __name__ == '__main__':
    main()
