"""The demo: a small 3D ResNet with and without GloRe on generated clips, in minutes."""

import os.path as osp

import numpy as np
from mmcv.transforms import Compose
from PIL import Image
from prettytable import PrettyTable

from glore_mm.datasets.mini_kinetics import CLASSES, write_mini_kinetics
from glore_mm.engine import stacked, train_and_dump
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
    predicted = {}
    for name, config in NETWORKS.items():
        path = osp.join(configs, 'video', f'{config}.py')
        cfg, dump = train_and_dump(path, options, seed)
        with np.load(dump) as arrays:
            predicted[name] = arrays['scores'].argmax(axis=1)
            labels, clips = arrays['labels'], arrays['names']

    print(_table(labels, predicted))
    picture = 'work_dirs/demo_video.png'
    read = Compose(cfg.test_dataloader.dataset.pipeline[:3])
    _picture(read, labels, clips, predicted).save(picture)
    scores = ', '.join(f'{n} {np.mean(p == labels):.2%}' for n, p in predicted.items())
    print(f'top-1: {scores} (chance: {1 / len(CLASSES):.2%})')
    print(f'picture: {picture} | data: {data} | checkpoints: work_dirs/')


def _table(labels: np.ndarray, predicted: dict[str, np.ndarray]) -> PrettyTable:
    table = PrettyTable(['right in %', *predicted])
    table.align = 'r'
    table.align['right in %'] = 'l'
    for label, name in enumerate(CLASSES):
        these = labels == label
        row = (100 * np.mean(found[these] == label) for found in predicted.values())
        table.add_row([name, *(f'{value:.1f}' for value in row)])
    table.add_divider()
    rows = (100 * np.mean(found == labels) for found in predicted.values())
    table.add_row(['all', *(f'{value:.2f}' for value in rows)])
    return table


def _picture(
    read: Compose, labels: np.ndarray, clips: np.ndarray, predicted: dict
) -> Image.Image:
    """Frames of one clip of each class, under its truth and the predictions."""
    rows = []
    for label in range(len(CLASSES)):
        index = int(np.argmax(labels == label))
        sample = read(dict(filename=str(clips[index]), start_index=0))
        found = ' | '.join(f'{n}: {CLASSES[p[index]]}' for n, p in predicted.items())
        rows.append(strip(sample['imgs'], f'truth: {CLASSES[label]} | {found}'))
    return stacked(rows)
