"""Small data sets in the layouts of published classification benchmarks."""

import json
import pickle
import struct
from pathlib import Path

import numpy as np
from PIL import Image

#: Images of each split, by the type of the data set.
NUM_IMAGES = dict(
    CIFAR100Files=(8, 4), CUB200=(8, 4), INaturalist=(10, 5), ImageNetFolders=(8, 4)
)
SPECIES = 'Pinus strobus', 'Bufo bufo', 'Parus major', 'Apis mellifera', 'Amanita nix'


def write_benchmark(root: Path, kind: str) -> Path:
    """Write a data set in the layout of a benchmark; return its `data_root`."""
    rng = np.random.default_rng(0)
    return dict(
        CIFAR100Files=write_cifar100,
        CUB200=write_cub200,
        INaturalist=write_inaturalist,
        ImageNetFolders=write_imagenet,
    )[kind](root, rng)


class _Python2Pickler(pickle._Pickler):
    """Writes strings and bytes as Python 2 does, which wrote CIFAR-100."""

    dispatch = dict(pickle._Pickler.dispatch)

    def save_string(self, text):
        content = text if isinstance(text, bytes) else text.encode('latin1')
        self.write(pickle.BINSTRING + struct.pack('<i', len(content)) + content)
        self.memoize(text)

    dispatch[bytes] = dispatch[str] = save_string


def write_pickle(path: Path, content: object) -> None:
    with path.open('wb') as file:
        _Python2Pickler(file, protocol=2).dump(content)
    # the name of the module in the NumPy of that time
    renamed = path.read_bytes().replace(b'numpy._core', b'numpy.core')
    path.write_bytes(renamed)


def write_cifar100(root: Path, rng: np.random.Generator) -> Path:
    folder = root / 'cifar-100-python'
    folder.mkdir(parents=True)
    for split, count in zip(
        ('train', 'test'), NUM_IMAGES['CIFAR100Files'], strict=True
    ):
        labels = [99 - 7 * i for i in range(count)]
        content = dict(
            filenames=[f'bos_taurus_s_{i:06}.png' for i in range(count)],
            batch_label=f'{split}ing batch 1 of 1',
            fine_labels=labels,
            coarse_labels=[label // 5 for label in labels],
            data=rng.integers(256, size=(count, 3072), dtype=np.uint8),
        )
        write_pickle(folder / split, content)
    return root


def write_cub200(root: Path, rng: np.random.Generator) -> Path:
    """Of each of four species three images, of which one is for the test."""
    root = root / 'CUB_200_2011'
    lines: dict[str, list[object]] = dict(
        images=[], image_class_labels=[], train_test_split=[]
    )
    species = {1: 'Black_footed_Albatross', 2: 'Laysan_Albatross',
               17: 'Cardinal', 200: 'Common_Yellowthroat'}  # fmt: skip
    for label, name in species.items():
        for number in range(3):
            file = f'{label:03}.{name}/{name}_{number:04}_{label}.jpg'
            _save(root / 'images' / file, rng)
            lines['images'].append(file)
            lines['image_class_labels'].append(label)
            lines['train_test_split'].append(int(number > 0))
    for name, values in lines.items():
        rows = [f'{i} {value}\n' for i, value in enumerate(values, 1)]
        (root / f'{name}.txt').write_text(''.join(rows))
    return root


def write_inaturalist(root: Path, rng: np.random.Generator, year: int = 2018) -> Path:
    """Five species; those of 2018 have numbers as names, as published at first."""
    categories = [
        dict(id=i, name=name if year == 2021 else str(i), supercategory='Animalia')
        for i, name in enumerate(SPECIES)
    ]
    count, name = 0, '{split}.json' if year == 2021 else f'{{split}}{year}.json'
    for split, images in zip(('train', 'val'), NUM_IMAGES['INaturalist'], strict=True):
        content = dict(
            info=dict(year=year), images=[], annotations=[], licenses=[],
            categories=categories[::-1],
        )  # fmt: skip
        for i in range(images):
            count += 1
            label = i % len(SPECIES)
            folder = f'train_val{year}/Animalia/{label}'
            if year == 2021:
                folder = f'{split}/{label:05}_Animalia_{SPECIES[label]}'.replace(
                    ' ', '_'
                )
            file = f'{folder}/{rng.bytes(8).hex()}.jpg'
            _save(root / file, rng)
            content['images'].append(
                dict(id=count, width=72, height=64, file_name=file)
            )
            content['annotations'].append(
                dict(id=count, image_id=count, category_id=label)
            )
        content['images'].reverse()
        (root / name.format(split=split)).write_text(json.dumps(content))
    if year != 2021:
        names = [dict(id=i, name=name) for i, name in enumerate(SPECIES)]
        (root / 'categories.json').write_text(json.dumps(names))
    return root


def write_imagenet(root: Path, rng: np.random.Generator) -> Path:
    """Images in class folders for training, without folders for the test; listed."""
    (root / 'meta').mkdir(parents=True)
    for split, count in zip(
        ('train', 'val'), NUM_IMAGES['ImageNetFolders'], strict=True
    ):
        lines = []
        for i in range(count):
            file = f'ILSVRC2012_val_{i + 1:08}.JPEG'
            if split == 'train':
                file = f'n01440764/n01440764_{i + 1}.JPEG'
            _save(root / split / file, rng)
            lines.append(f'{file} {999 - i}\n')
        (root / 'meta' / f'{split}.txt').write_text(''.join(lines))
    return root


def _save(path: Path, rng: np.random.Generator) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    small = rng.integers(256, size=(8, 9, 3), dtype=np.uint8)
    Image.fromarray(small).resize((72, 64)).save(path)
