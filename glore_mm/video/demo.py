"""The demo: a small 3D ResNet with and without GloRe on generated clips, in minutes."""

import os.path as osp

import numpy as np
from mmcv.transforms import Compose
from PIL import Image

from glore_mm.datasets.mini_kinetics import write_mini_kinetics
from glore_mm.engine import stacked
from glore_mm.engine.comparison import Comparison, compare
from glore_mm.errors import UserError
from glore_mm.video.pictures import strip

NETWORKS = {'plain': 'plain_mini', 'GloRe': 'glore_mini'}  # by their name in the table


def run(configs: str, options: dict | None = None, seed: int = 0) -> None:
    """Train and test both, print their scores, draw what they were shown.

    Writes data/mini_kinetics and work_dirs/ in the current folder.

    Args:
        configs (str): The folder of this project's configs.
        options (dict, optional): Keys of both configs to override.
        seed (int): Of the weights and of the order of the samples.
    """
    try:
        data = write_mini_kinetics('data/mini_kinetics', num_train=1280, scale=0.3)
    except FileExistsError as error:
        raise UserError(str(error)) from error
    paths = {n: osp.join(configs, 'video', f'{c}.py') for n, c in NETWORKS.items()}
    found = compare(paths, options, seed)
    print(found.table())
    picture = 'work_dirs/demo_video.png'
    _picture(found).save(picture)
    print(found.summary())
    print(f'picture: {picture} | data: {data} | checkpoints: work_dirs/')


def _picture(found: Comparison) -> Image.Image:
    """Frames of one clip of each class, under its truth and the predictions."""
    read = Compose(found.cfg.test_dataloader.dataset.pipeline[:3])
    rows = []
    for label in range(len(found.classes)):
        index = int(np.argmax(found.labels == label))
        sample = read(dict(filename=str(found.names[index]), start_index=0))
        rows.append(strip(sample['imgs'], found.about(index)))
    return stacked(rows)
