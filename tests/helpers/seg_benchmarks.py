"""Small data sets in the layouts of published segmentation benchmarks."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

SIZE = 64, 80  # height, width
NUM_IMAGES = 2  # of each split


class Layout(NamedTuple):
    """File names with {split}, {short} and {i}; the values of a label map."""

    image: str
    labels: str
    values: Sequence[int]
    splits: tuple[str, str] = ('train', 'val')
    listed: str | None = None  # a list of the images of a split


_USED_COCO_IDS = [
    i for i in range(182) if i not in (11, 25, 28, 29, 44, 65, 67, 68, 70, 82, 90)
]
_CONTEXT = Layout(
    'JPEGImages/2008_{short}{i}.jpg',
    'SegmentationClassContext/2008_{short}{i}.png',
    range(60),
    listed='ImageSets/SegmentationContext/{split}.txt',
)
#: By the type of the data set.
LAYOUTS = dict(
    ADE20K=Layout(
        'images/{split}/ADE_{short}_0000000{i}.jpg',
        'annotations/{split}/ADE_{short}_0000000{i}.png',
        range(151),
        ('training', 'validation'),
    ),
    PascalContext59=_CONTEXT,
    PascalContext60=_CONTEXT,
    COCOStuff=Layout(
        'images/{split}2017/00000000000{i}.jpg',
        'annotations/{split}2017/00000000000{i}.png',
        [*_USED_COCO_IDS, 255],
    ),
    LoveDA=Layout('img_dir/{split}/{i}.png', 'ann_dir/{split}/{i}.png', range(8)),
    CHASEDB1=Layout(
        'images/{split}/Image_0{i}L.jpg',
        'annotations/{split}/Image_0{i}L_1stHO.png',
        (0, 255),
        ('training', 'validation'),
    ),
)


def write_benchmark(root: Path, kind: str) -> Path:
    """Write a data set with the layout and the label values of a benchmark.

    Each value fills a square of its own, where an image has one colour.
    """
    layout = LAYOUTS[kind]
    height, width = SIZE
    side = max(4, int((height * width / len(layout.values)) ** 0.5) // 4 * 4)
    columns = -(-width // side)
    y, x = np.indices(SIZE)
    squares = y // side * columns + x // side
    rng = np.random.default_rng(0)
    for split, short in zip(layout.splits, ('train', 'val'), strict=True):
        for i in range(NUM_IMAGES):
            labels = np.array(layout.values, np.uint8)[squares % len(layout.values)]
            colours = rng.integers(256, size=(256, 3))
            names = dict(split=split, short=short, i=i + 1)
            _save(root / layout.image.format(**names), colours[labels])
            _save(root / layout.labels.format(**names), labels)
            if layout.listed:
                file = root / layout.listed.format(**names)
                file.parent.mkdir(parents=True, exist_ok=True)
                with file.open('a') as lines:
                    lines.write(Path(layout.image.format(**names)).stem + '\n')
    return root


def _save(path: Path, pixels: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels.astype(np.uint8)).save(path)
