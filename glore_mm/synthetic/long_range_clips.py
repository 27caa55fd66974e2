"""Clips whose class depends on a cue long before the end.

A disc in one of four colours, the class, appears in a few early frames. The last frames
show a grey square. A network that classifies the last frame can only guess if its
temporal receptive field is smaller than the distance between the disc and the square.

Run ``python -m glore_mm.synthetic.long_range_clips ROOT`` to write a data set.
"""

from functools import partial
from pathlib import Path

import cv2
import numpy as np
from numpy.random import Generator

from glore_mm.synthetic.long_range_strips import COLORS, sample_suffixes
from glore_mm.synthetic.writer import (
    check_int,
    create_dataset,
    run_writer,
    sample_rng,
    write_video,
)

NUM_FRAMES = 32
SIZE = 32  # height and width of a frame in pixels
_VERSION = 1  # increase it when the generated clips change
_SHOWN = 4  # number of frames with the disc, and with the square
_RADIUS = 7  # pixels
_COLORS = list(COLORS.values())


def draw_clip(
    rng: Generator, color: int, distance: int = 20, num_distractors: int = 1
) -> tuple[np.ndarray, np.ndarray]:
    """Draw a clip and a copy of it without the cue.

    Args:
        rng (np.random.Generator): Source of positions, background and distractors.
        color (int): The class, an index into COLORS.
        distance (int): Minimum number of frames between the cue and the square.
        num_distractors (int): Number of coloured rings without a meaning, each in one
            frame.

    Returns:
        tuple[np.ndarray, np.ndarray]: The clip and the copy, uint8 (T, H, W, 3), RGB.
    """
    noise = rng.normal(0, 30, (NUM_FRAMES, SIZE, SIZE, 3)).astype(np.float32)
    noise = np.stack([cv2.GaussianBlur(frame, (0, 0), 2) for frame in noise])
    clip = np.clip(150 + 2 * noise, 0, 255).astype(np.uint8)
    for _ in range(num_distractors):
        frame = clip[rng.integers(NUM_FRAMES)]
        ring = _COLORS[rng.integers(len(_COLORS))]
        cv2.circle(frame, _place(rng), _RADIUS - 2, ring, 2, cv2.LINE_AA)
    x, y = _place(rng)
    for frame in clip[-_SHOWN:]:
        corners = (x - _RADIUS, y - _RADIUS), (x + _RADIUS, y + _RADIUS)
        cv2.rectangle(frame, *corners, (128, 128, 128), -1)
    erased = clip.copy()
    start = rng.integers(NUM_FRAMES - 2 * _SHOWN - distance + 1)
    place = _place(rng)
    for frame in clip[start : start + _SHOWN]:
        cv2.circle(frame, place, _RADIUS, _COLORS[color], -1, cv2.LINE_AA)
    return clip, erased


def write_long_range_clips(
    root: str | Path,
    num_train: int = 512,
    num_val: int = 128,
    distance: int = 20,
    num_distractors: int = 1,
    seed: int = 0,
) -> Path:
    """Write clips and their lists, unless they already exist.

    The folders ``train`` and ``val`` contain the clips. ``val`` also contains a copy of
    each clip without the cue, ``000000_erased.avi``. ``train.txt`` and ``val.txt`` list
    the files with their classes. The codec is lossless and encodes each frame by
    itself, so that no trace of the cue reaches other frames. Any four successive clips
    have every class once.

    Args:
        root (str | Path): Folder to create.
        num_train (int): Number of training clips.
        num_val (int): Number of validation clips, without the copies.
        distance (int): Minimum number of frames between the cue and the square, up to
            24.
        num_distractors (int): Number of coloured rings without a meaning in a clip.
        seed (int): Seed of the random clips.

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
        distance=check_int('distance', distance, 0, NUM_FRAMES - 2 * _SHOWN),
        num_distractors=check_int('num_distractors', num_distractors, 0),
        seed=check_int('seed', seed, 0),
    )
    counts = dict(train=num_train, val=num_val)

    def write(folder: Path) -> None:
        for split, count in counts.items():
            (folder / split).mkdir()
            lines = []
            for i in range(count):
                rng = sample_rng(seed, split, i)
                color = i % len(COLORS)
                drawn = draw_clip(rng, color, distance, num_distractors)
                for suffix, frames in zip(sample_suffixes(split), drawn, strict=False):
                    name = f'{i:06d}{suffix}.avi'
                    write_video(folder / split / name, frames, 'ffv1', 8, 'bgr0')
                    lines.append(f'{name} {color}\n')
            (folder / f'{split}.txt').write_text(''.join(lines))
        (folder / 'label_map.txt').write_text('\n'.join(COLORS) + '\n')

    files = [
        f'{split}/{i:06d}{suffix}.avi'
        for split, count in counts.items()
        for i in range(count)
        for suffix in sample_suffixes(split)
    ]
    return create_dataset(Path(root), 'long_range_clips', record, files, write)


def _place(rng: Generator) -> tuple[int, ...]:
    return tuple(int(i) for i in rng.integers(_RADIUS, SIZE - _RADIUS, 2))


#: Command-line entry point; writes a data set.
main = partial(run_writer, write_long_range_clips, 'set of clips with long-range cues')


if __name__ == '__main__':
    main()
