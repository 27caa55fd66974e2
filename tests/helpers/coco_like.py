"""A small data set in the layout of COCO's archives."""

import json
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

SIZE = 96, 128  # height, width
# numbers that COCO's 80 categories leave out
_UNUSED = 12, 26, 29, 30, 45, 66, 68, 69, 71, 83
IDS = [number for number in range(1, 91) if number not in _UNUSED]


def write_coco(root: Path, names: tuple[str, ...], num_images: int = 2) -> Path:
    """Write images with two objects each, as polygons, and a crowd as a run length.

    Args:
        root (Path): The folder to write.
        names (tuple[str, ...]): COCO's 80 categories.
        num_images (int): Images of each split.
    """
    rng = np.random.default_rng(0)
    height, width = SIZE
    categories = [
        dict(id=number, name=name) for number, name in zip(IDS, names, strict=True)
    ]
    (root / 'annotations').mkdir(parents=True)
    for split in ('train', 'val'):
        images, annotations = [], []
        (root / f'{split}2017').mkdir()
        for image_id in range(1, num_images + 1):
            picture = Image.new('RGB', (width, height), 'grey')
            polygons = (
                (18, [10.0, 12.0, 60.0, 14.0, 50.0, 70.0, 12.0, 60.0]),
                (90, [70.0, 20.0, 120.0, 30.0, 90.0, 80.0]),
            )
            for category, polygon in polygons:
                colour = tuple(rng.integers(256, size=3).tolist())
                ImageDraw.Draw(picture).polygon(polygon, fill=colour)
                annotations.append(
                    _object(
                        annotations, image_id, category, np.reshape(polygon, (-1, 2)),
                        segmentation=[polygon], iscrowd=0,
                    )
                )  # fmt: skip
            counts = [height * (width - 8), height * 8]  # the columns on the right
            corners = np.array([[width - 8, 0], [width, height]], float)
            annotations.append(
                _object(
                    annotations, image_id, 1, corners, iscrowd=1,
                    segmentation=dict(counts=counts, size=[height, width]),
                )
            )  # fmt: skip
            name = f'{image_id:012}.jpg'
            picture.save(root / f'{split}2017' / name)
            images.append(dict(id=image_id, file_name=name, height=height, width=width))
        content = dict(images=images, annotations=annotations, categories=categories)
        file = root / 'annotations' / f'instances_{split}2017.json'
        file.write_text(json.dumps(content))
    return root


def _object(
    others: list, image_id: int, category: int, corners: np.ndarray, **more
) -> dict:
    low, high = corners.min(axis=0), corners.max(axis=0)
    return dict(
        id=len(others) + 1, image_id=image_id, category_id=category,
        bbox=[*low.tolist(), *(high - low).tolist()],
        area=float(np.prod(high - low)), **more,
    )  # fmt: skip
