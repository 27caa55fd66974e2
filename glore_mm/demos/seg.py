"""The demo: FCN against FCN + GloRe on generated street scenes, in a few minutes."""

import os.path as osp
from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
from PIL import Image

from glore_mm.analysis.dumps import ConfusionDump, read_dump
from glore_mm.apis.infer import infer
from glore_mm.apis.train import train_and_test
from glore_mm.config.load import load_config
from glore_mm.demos.comparison import generated, score_table, show
from glore_mm.seg.datasets import CityscapesFolders
from glore_mm.seg.visualization import colorize, panels, read_rgb
from glore_mm.synthetic.mini_cityscapes import write_mini_cityscapes
from glore_mm.visualization.drawing import vstack

NETWORKS = {'FCN': 'fcn_mini', 'GloRe': 'glore_mini'}  # by their name in the table
PICTURED = 3  # images


def run(configs: str, options: dict[str, Any] | None = None) -> None:
    """Train and test both, print their scores, draw what they see.

    Writes data/mini_cityscapes and work_dirs/ in the current folder.

    Args:
        configs (str): The folder of this project's configs.
        options (dict, optional): Keys of both configs to override.

    Raises:
        UserError: Something else is in the place of the data set.
    """
    data = generated(partial(write_mini_cityscapes, 'data/mini_cityscapes'))
    scores, segmented = {}, {}
    for name, config in NETWORKS.items():
        load = partial(load_config, osp.join(configs, 'seg', f'{config}.py'), options)
        done = train_and_test(load)
        masks = osp.join(done.cfg.work_dir, 'masks')
        found = read_dump(done.dump)
        assert isinstance(found, ConfusionDump)
        scores[name], images = found.iou, found.names[:PICTURED].tolist()
        for _ in infer(load(), done.cfg.load_from, images, masks):
            pass
        segmented[name] = masks

    means = {name: float(np.nanmean(iou)) for name, iou in scores.items()}
    classes = CityscapesFolders.METAINFO['classes']
    table = score_table('IoU', scores, classes, ('mean', [*means.values()]))
    summary = f'mIoU: {", ".join(f"{n} {mean:.2%}" for n, mean in means.items())}'
    show('seg', data, table, _picture(images, segmented), summary)


def _picture(images: list[str], segmented: dict[str, str]) -> Image.Image:
    """Image, truth and each network's labels, a row an image."""
    palette = CityscapesFolders.METAINFO['palette']
    rows = []
    for path in images:
        truth = path.replace('leftImg8bit', 'gtFine', 1).replace(
            '_leftImg8bit.png', '_gtFine_labelTrainIds.png'
        )
        row = dict(image=read_rgb(path), truth=_colours(truth, palette))
        for name, folder in segmented.items():
            row[name] = _colours(osp.join(folder, osp.basename(path)), palette)
        rows.append(panels(row))
    return vstack(rows)


def _colours(path: str, palette: Sequence[Sequence[int]]) -> np.ndarray:
    return colorize(np.asarray(Image.open(path)), palette)
