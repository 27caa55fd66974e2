"""Strips in which the class of a region depends on a distant cue.

Coloured cues of different shapes are at one end of a strip, grey regions of the same
shapes at the other end. The class of a region is the colour of the cue with the same
shape. Nothing near a region depends on its class. So a network can only guess if its
receptive field is smaller than the distance between cues and regions.

Run ``python -m glore_mm.synthetic.long_range_strips ROOT`` to write a data set.
"""

from collections.abc import Sequence
from functools import partial
from itertools import product
from pathlib import Path

import cv2
import numpy as np
from numpy.random import Generator

from glore_mm.synthetic.writer import check_int, create_dataset, run_writer, sample_rng

COLORS = {  # the classes, RGB
    'red': (200, 60, 60),
    'green': (60, 160, 70),
    'blue': (60, 90, 200),
    'yellow': (205, 180, 50),
}
SHAPES = ('square', 'disc', 'triangle')
SIZE = (64, 640)  # height, width of a strip in pixels
ERASED = '_erased'  # name suffix of copies without cues
_VERSION = 1  # increase it when the generated images change
_RADIUS = 11  # of cues and regions, in pixels
_END = 80  # width of an end of the strip with cues or regions, in pixels
_GREY = (128, 128, 128)


def draw_strip(
    rng: Generator,
    colors: Sequence[int],
    cues_left: bool,
    distance: int = 400,
    num_distractors: int = 2,
    width: int = SIZE[1],
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Draw a strip and a copy of it without the cues.

    Args:
        rng (np.random.Generator): Source of positions, background and distractors.
        colors (Sequence[int]): Colour of each cue, an index into COLORS. The shapes are
            the first ones of SHAPES.
        cues_left (bool): Whether the cues are at the left end.
        distance (int): Minimum distance from a cue to a region along the strip, in
            pixels.
        num_distractors (int): Number of coloured rings without a meaning, anywhere.
        width (int): Width of the strip, in pixels.

    Returns:
        tuple[np.ndarray, np.ndarray, np.ndarray]: The strip, uint8 (H, W, 3), RGB; the
        copy without cues; the labels, uint8 (H, W): the class in regions, 255 (not
        scored) elsewhere.
    """
    height = SIZE[0]
    noise = rng.normal(0, 40, (height, width, 3)).astype(np.float32)
    background = 150 + 3 * cv2.GaussianBlur(noise, (0, 0), 4)
    strip = np.clip(background, 0, 255).astype(np.uint8)
    for _ in range(num_distractors):
        center = tuple(
            int(rng.integers(_RADIUS, side - _RADIUS)) for side in (width, height)
        )
        color = list(COLORS.values())[rng.integers(len(COLORS))]
        cv2.circle(strip, center, _RADIUS - 3, color, 3, cv2.LINE_AA)
    labels = np.full((height, width), 255, np.uint8)

    # from the left: cues, a gap of at least `distance`, regions
    start = int(rng.integers(0, width - 2 * _END - distance + 1))
    places = [start, start + _END + distance]
    if not cues_left:
        places.reverse()
    cues, regions = (_spread(rng, place, len(colors)) for place in places)
    for shape, color, center in zip(SHAPES, colors, regions, strict=False):
        _paint(strip, shape, center, _GREY)
        _paint(labels, shape, center, color, smooth=False)
    erased = strip.copy()
    for shape, color, center in zip(SHAPES, colors, cues, strict=False):
        _paint(strip, shape, center, list(COLORS.values())[color])
    return strip, erased, labels


def write_long_range_strips(
    root: str | Path,
    num_train: int = 512,
    num_val: int = 128,
    distance: int = 400,
    num_cues: int = 1,
    num_distractors: int = 2,
    width: int = SIZE[1],
    seed: int = 0,
) -> Path:
    """Write strips as images and label maps, unless they already exist.

    Writes ``images/<split>/000000.png`` and ``labels/<split>/000000.png``. Each
    validation strip also has a copy without cues, ``000000_erased.png`` in both
    folders. Any 2 · 4^num_cues successive strips have every combination of the colours
    and of the end with the cues once.

    Args:
        root (str | Path): Folder to create.
        num_train (int): Number of training strips.
        num_val (int): Number of validation strips, without the copies.
        distance (int): Minimum distance from a cue to a region, in pixels, up to
            width - 160.
        num_cues (int): Number of cues, and of regions, in a strip, 1 to 3. With 2 or
            more, a network has to match each region with its cue; the set of colours in
            the strip is not enough.
        num_distractors (int): Number of coloured rings without a meaning in a strip.
        width (int): Width of the strips, in pixels.
        seed (int): Seed of the random strips.

    Returns:
        Path: The root.

    Raises:
        ValueError: If an argument is out of its range.
        FileExistsError: If root exists and is not the data set of these arguments.
    """
    record = dict(
        version=_VERSION,
        num_train=check_int('num_train', num_train, 1),
        num_val=check_int('num_val', num_val, 1),
        distance=check_int('distance', distance, 0, width - 2 * _END),
        num_cues=check_int('num_cues', num_cues, 1, len(SHAPES)),
        num_distractors=check_int('num_distractors', num_distractors, 0),
        seed=check_int('seed', seed, 0),
    )
    if check_int('width', width, 2 * _END) != SIZE[1]:  # else as of earlier versions
        record['width'] = width
    cases = list(product((True, False), product(range(len(COLORS)), repeat=num_cues)))
    counts = dict(train=num_train, val=num_val)

    def write(folder: Path) -> None:
        for split, count in counts.items():
            for kind in ('images', 'labels'):
                (folder / kind / split).mkdir(parents=True)
            for i in range(count):
                rng = sample_rng(seed, split, i)
                cues_left, colors = cases[i % len(cases)]
                strip, erased, labels = draw_strip(
                    rng, colors, cues_left, distance, num_distractors, width
                )
                drawn = strip, erased
                for suffix, image in zip(sample_suffixes(split), drawn, strict=False):
                    name = f'{split}/{i:06d}{suffix}.png'
                    _save(folder / 'images' / name, image[..., ::-1])
                    _save(folder / 'labels' / name, labels)

    files = [
        f'{kind}/{split}/{i:06d}{suffix}.png'
        for split, count in counts.items()
        for i in range(count)
        for suffix in sample_suffixes(split)
        for kind in ('images', 'labels')
    ]
    return create_dataset(Path(root), 'long_range_strips', record, files, write)


def sample_suffixes(split: str) -> tuple[str, ...]:
    """Return the name suffixes of a sample's files; `val` has copies without cues."""
    return ('', ERASED) if split == 'val' else ('',)


def _spread(rng: Generator, start: int, count: int) -> list[tuple[int, int]]:
    """Draw the centres of `count` shapes in an end of the strip, without overlap."""
    columns = start + _END * (2 * rng.permutation(count) + 1) // (2 * count)
    room = max(0, _END // count - 2 * _RADIUS) // 2
    return [
        (
            int(column + rng.integers(-room, room + 1)),
            int(rng.integers(_RADIUS, SIZE[0] - _RADIUS)),
        )
        for column in columns
    ]


def _paint(
    image: np.ndarray,
    shape: str,
    center: tuple[int, int],
    color: int | tuple[int, ...],
    smooth: bool = True,
) -> None:
    x, y = center
    line = cv2.LINE_AA if smooth else cv2.LINE_8
    if shape == 'disc':
        cv2.circle(image, center, _RADIUS, color, -1, line)
        return
    corners = dict(
        square=((-1, -1), (1, -1), (1, 1), (-1, 1)), triangle=((0, -1), (1, 1), (-1, 1))
    )
    points = [(x + _RADIUS * dx, y + _RADIUS * dy) for dx, dy in corners[shape]]
    cv2.fillPoly(image, [np.array(points, np.int32)], color, line)


def _save(path: Path, array: np.ndarray) -> None:
    path.write_bytes(cv2.imencode('.png', array)[1].tobytes())


#: Command-line entry point; writes a data set.
main = partial(
    run_writer, write_long_range_strips, 'set of strips with long-range cues'
)


if __name__ == '__main__':
    main()
