"""A small synthetic image data set in the layout of ImageNet.

Two clocks with one hand each are diagonally opposite, so that each half of the image
(left, right, top, bottom) contains one of them. The class is the clockwise angle from
the hand of the upper clock to the hand of the lower clock, in tenths of a turn. The
half of a face around the hand is coloured, so that it is visible even at 32 × 32
pixels.

By construction, no half of the image contains information about the class: the angle of
the upper hand is uniform on the circle. The angle of the lower hand is the sum of this
angle and that of the class, so it is also uniform in each class. Everything else
(sizes, positions, light, noise) is drawn independently of the class. The distance of a
clock from the middle lines is so large that no JPEG block contains parts of a clock and
of the opposite half.

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

#: Class names: the angle from the upper to the lower hand, in tenths of a turn.
CLASSES = tuple(f'ahead_{tenths}' for tenths in range(10))

_VERSION = 1  # increase it when the generated images change
_SIZES = ((375, 500),) * 5 + ((500, 375),) * 3
_SIZES += (333, 500), (500, 333), (480, 640), (500, 500), (225, 300), (300, 225)
_JPEG = dict(quality=90, subsampling=0)  # without subsampling, blocks are 8 × 8 pixels
_BLOCK = 8
# Distances from the middle lines to the near and the far side of a clock, relative to
# the shorter side of the image. A square centre crop contains both clocks.
_MARGIN = 0.04
_REACH = 0.46
_DIAMETER = 0.88, 0.94  # of a clock, relative to the space between these distances
_JITTER = 0.02  # maximum deviation of the lower hand, in turns

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
    """Write a synthetic data set in the layout of ImageNet, unless it exists.

    Writes ``train`` and ``val`` with a folder for each class. Sample i of a split
    depends only on the seed, i and the scale, so a larger data set begins with the
    smaller one. The folder is written atomically.

    Args:
        root (str | Path): Folder to create.
        num_train (int): Number of training images.
        num_val (int): Number of validation images.
        scale (float): Scale of the images; at 1 most are 500×375 or 375×500.
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
        rng (np.random.Generator): Source of everything except the class.
        label (int): The class, an index into `CLASSES`.
        size (tuple[int, int]): Height and width in pixels.

    Returns:
        np.ndarray: uint8, (height, width, 3), RGB.
    """
    picture = _wall(rng, size)
    upper = rng.random()
    lower = upper + label / len(CLASSES) + rng.uniform(-_JITTER, _JITTER)
    _clock(picture, rng, -1, upper, np.hypot, _UPPER)
    _clock(picture, rng, 1, lower, _tile, _LOWER)
    picture += rng.normal(0, 2.5, (*size, 1))  # the same noise in all channels
    return np.clip(picture, 0, 255).astype(np.uint8)


def _wall(rng: Generator, size: tuple[int, int]) -> np.ndarray:
    """Draw a background with smooth light, (H, W, 3), float64."""
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
    """Draw a clock.

    Args:
        picture (np.ndarray): Float (H, W, 3), changed in place.
        rng (np.random.Generator): Source of size and position.
        side (int): −1 for the upper left quarter, 1 for the lower right quarter.
        turn (float): Angle of the hand, clockwise from the top, in turns.
        shape (Callable): Norm of the offsets from the centre, 1 at the rim.
        colours (tuple): RGB of rim, marks and hand, of the face, and of its half around
            the hand.
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
    # offsets from the clock's centre, in radii, (h, 1) and (w,)
    dy = (np.arange(*spans[0])[:, None] + 0.5 - y) / radius
    dx = (np.arange(*spans[1]) + 0.5 - x) / radius
    light = 1 - 0.08 * dy[..., None]  # from above

    def paint(colour: _Colour, depth: np.ndarray) -> None:
        """Paint the pixels with a positive depth, in radii, with smooth edges."""
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
    width = 0.1 - 0.08 * along  # half the width of the hand, which tapers to its tip
    ends = np.minimum(along + 0.2, 0.8 - along)
    paint(lines, np.maximum(np.minimum(width - across, ends), 0.13 - from_centre))


def _tile(dx: np.ndarray, dy: np.ndarray) -> np.ndarray:
    """Norm with a square with round corners as unit ball."""
    return np.sqrt(np.hypot(dx * dx, dy * dy))


def _file(split: str, i: int) -> str:
    """Return the path of sample i, relative to the root, named as in ImageNet."""
    name = CLASSES[i % len(CLASSES)]
    number = f'{name}_{i}' if split == 'train' else f'mini_val_{i + 1:08d}'
    return f'{split}/{name}/{number}.JPEG'


#: Command-line entry point; writes a data set.
main = partial(run_writer, write_mini_imagenet, 'ImageNet')


if __name__ == '__main__':
    main()
