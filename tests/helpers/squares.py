"""Images of a bright square on a dark background, with masks; a tiny network."""

from pathlib import Path

import numpy as np
from PIL import Image

SIZE = 48, 64  # height, width
CONFIG = """
_base_ = 'glore_mm::seg/glore_mini.py'
custom_imports = dict(imports=['glore_mm.seg', 'squares_dataset'])
train_pipeline = _base_.train_pipeline
train_pipeline[2].update(scale=(64, 48))
train_pipeline[3].update(crop_size=(32, 32))
test_pipeline = _base_.test_pipeline
test_pipeline[1].update(scale=(64, 48))

def squares(split, pipeline):
    prefix = dict(img_path=f'img/{split}', seg_map_path=f'ann/{split}')
    return dict(_delete_=True, type='Squares', data_root='data', data_prefix=prefix,
                pipeline=pipeline)

serial = dict(num_workers=0, persistent_workers=False)
train_dataloader = dict(
    batch_size=2, dataset=squares('train', train_pipeline), **serial)
val_dataloader = dict(dataset=squares('val', test_pipeline), **serial)
test_dataloader = val_dataloader
del squares, serial
model = dict(
    data_preprocessor=dict(size=(32, 32)),
    backbone=dict(stem_channels=8, base_channels=8, depth=18),
    decode_head=dict(
        num_classes=2, in_channels=64, channels=16, num_nodes=8, num_states=8),
    auxiliary_head=dict(num_classes=2, in_channels=32, channels=8))
train_cfg = dict(max_iters=4, val_interval=4)
default_hooks = dict(logger=dict(interval=2), checkpoint=dict(interval=4))
"""
DATASET = """
from mmseg.registry import DATASETS
from glore_mm.seg import ImageMaskDataset

@DATASETS.register_module(force=True)
class Squares(ImageMaskDataset):
    METAINFO = dict(classes=('ground', 'square'), palette=[[0, 0, 0], [255, 0, 0]])
    image_endings = ('.jpg', '.png', '.tif')
"""


def draw(index: int) -> tuple[np.ndarray, np.ndarray]:
    """Return an image, uint8 (H, W, 3), and its mask, uint8 (H, W), 1 in the square."""
    rng = np.random.default_rng(index)
    image = rng.integers(20, 70, (*SIZE, 3)).astype(np.uint8)
    y, x = (int(rng.integers(side - 24)) for side in SIZE)
    image[y : y + 24, x : x + 24] = rng.integers(180, 240, (24, 24, 3))
    mask = np.zeros(SIZE, np.uint8)
    mask[y : y + 24, x : x + 24] = 1
    return image, mask


def write_squares(root: Path, count: int = 4) -> Path:
    """Write `img/<split>/p0.png` and `ann/<split>/p0.png`."""
    for split, first in (('train', 0), ('val', 100)):
        for kind in ('img', 'ann'):
            (root / kind / split).mkdir(parents=True)
        for i in range(count):
            image, mask = draw(first + i)
            Image.fromarray(image).save(root / 'img' / split / f'p{i}.png')
            Image.fromarray(mask).save(root / 'ann' / split / f'p{i}.png')
    return root


def write_project(folder: Path) -> Path:
    """Write data, a config and the module of its data set; return the config."""
    write_squares(folder / 'data')
    (folder / 'squares_dataset.py').write_text(DATASET)
    (folder / 'base.py').write_text(CONFIG)
    return folder / 'base.py'
