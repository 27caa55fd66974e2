"""A small synthetic street-scene data set in the layout of Cityscapes.

Run ``python -m glore_mm.synthetic.mini_cityscapes ROOT`` to write one.
"""

from functools import partial
from pathlib import Path

import cv2

from glore_mm.synthetic.street_scenes import draw_street
from glore_mm.synthetic.writer import check_int, create_dataset, run_writer, sample_rng
from glore_mm.utils.cityscapes_labels import TRAIN_ID_OF_LABEL_ID

CITIES = {
    'train': ('aachen', 'bochum', 'bremen', 'cologne', 'darmstadt', 'jena', 'ulm'),
    'val': ('frankfurt', 'lindau', 'munster'),
}
_VERSION = 2  # increase it when street_scenes draws other images
_MIN_SIDE = 32  # pixels


def _files(split: str, i: int) -> tuple[str, str, str]:
    """Return the paths of image, label ids and train ids, relative to the root."""
    cities = CITIES[split]
    city = cities[i % len(cities)]
    stem = f'{split}/{city}/{city}_{i // len(cities):06d}_000019'
    return (
        f'leftImg8bit/{stem}_leftImg8bit.png',
        f'gtFine/{stem}_gtFine_labelIds.png',
        f'gtFine/{stem}_gtFine_labelTrainIds.png',
    )


def write_mini_cityscapes(
    root: str | Path,
    num_train: int = 48,
    num_val: int = 16,
    size: tuple[int, int] = (128, 256),
    seed: int = 0,
) -> Path:
    """Write a synthetic data set in the layout of Cityscapes, unless it exists.

    Sample i of a split depends only on the seed, i and the size, so a larger data set
    begins with the smaller one. The folder is written atomically.

    Args:
        root (str | Path): Folder to create, with ``leftImg8bit`` and ``gtFine`` in it.
        num_train (int): Number of training images.
        num_val (int): Number of validation images.
        size (tuple[int, int]): Height and width of the images in pixels.
        seed (int): Seed of the random streets.

    Returns:
        Path: The root.

    Raises:
        ValueError: If an argument is out of its range.
        FileExistsError: If root exists and is not the data set of these arguments.
    """
    train, val = check_int('num_train', num_train, 1), check_int('num_val', num_val, 1)
    seed = check_int('seed', seed, 0)
    if not isinstance(size, (tuple, list)) or len(size) != 2:
        raise ValueError(f'size must be (height, width) in pixels, got {size!r}')
    height, width = size
    size = check_int('height', height, _MIN_SIDE), check_int('width', width, _MIN_SIDE)
    counts = {'num_train': train, 'num_val': val}
    record = {'version': _VERSION, **counts, 'size': [*size], 'seed': seed}
    samples = [('train', i) for i in range(train)] + [('val', i) for i in range(val)]

    def write(folder: Path) -> None:
        for split, i in samples:
            rng = sample_rng(seed, split, i)
            image, labels = draw_street(rng, i, size)
            arrays = image[..., ::-1], labels, TRAIN_ID_OF_LABEL_ID[labels]
            for name, array in zip(_files(split, i), arrays, strict=True):
                path = folder / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(cv2.imencode('.png', array)[1].tobytes())

    files = [path for split, i in samples for path in _files(split, i)]
    return create_dataset(Path(root), 'mini_cityscapes', record, files, write)


#: Command-line entry point; writes a data set.
main = partial(run_writer, write_mini_cityscapes, 'Cityscapes')


if __name__ == '__main__':
    main()
