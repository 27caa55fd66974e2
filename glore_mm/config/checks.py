"""Checks of a config before anything runs: its parts, data sets and classes."""

import os
from collections.abc import Mapping, Sequence

from mmengine.config import Config
from mmengine.registry import DATASETS

from glore_mm.config.build import build_part, get_by_path
from glore_mm.utils.errors import UserError, summarize_list

_PARTS = ('dataloader', 'cfg', 'evaluator')  # of a loop: val_dataloader, val_cfg, …


def check_train_config(cfg: Config) -> None:
    """Make sure that a config has the parts of a training, and of its validation.

    Raises:
        UserError: A part is missing or is no dict.
    """
    _check_parts(cfg, 'train', 'optim_wrapper', 'train_dataloader.sampler')
    if any(cfg.get(f'val_{part}') is not None for part in _PARTS):
        _check_parts(cfg, 'val')


def check_test_config(cfg: Config) -> None:
    """Make sure that a config has the parts of a test.

    Raises:
        UserError: A part is missing or is no dict.
    """
    _check_parts(cfg, 'test')


def check_datasets(
    cfg: Config,
    *loops: str,
    expected: Mapping[str, Sequence[str] | None] | None = None,
) -> None:
    """Build and check the data sets, so that errors appear before anything is written.

    Args:
        cfg (Config): The config.
        loops (str): 'train', 'val', 'test'; those without a data set are left out.
        expected (Mapping[str, Sequence[str]], optional): Further lists of classes that
            must be the same, by their source.

    Raises:
        UserError: A data set cannot be read, does not fit the network, or has other
            classes than the rest.
    """
    classes = dict(expected or {})
    for loop in loops:
        if cfg.get(f'{loop}_dataloader') is not None:
            key = f'{loop}_dataloader.dataset'
            dataset = build_part(cfg, key, DATASETS)
            classes[key] = getattr(dataset, 'metainfo', {}).get('classes')
            _check_dataset(cfg, key, len(dataset), classes[key])
    _check_same(classes)


def _check_parts(cfg: Config, loop: str, *others: str) -> None:
    """Make sure that a config has what a loop and its network are built from."""
    parts = [
        f'{loop}_{part}' for part in _PARTS if (loop, part) != ('train', 'evaluator')
    ]
    for key in ('model', f'{loop}_dataloader.dataset', *parts, *others):
        found = get_by_path(cfg, key)
        kinds = Mapping | list if key.endswith('evaluator') else Mapping
        if not isinstance(found, kinds):
            what = 'nothing' if found is None else repr(found)
            raise UserError(f'{cfg.filename}: {key} must be a dict, found {what}')


def _check_same(classes: Mapping[str, Sequence[str] | None]) -> None:
    """Make sure that all sources of class names have the same ones."""
    known = [(source, tuple(names)) for source, names in classes.items() if names]
    for source, names in known[1:]:
        if names != known[0][1]:
            raise UserError(
                f'the classes of {source} ({summarize_list(names)}) are not those of '
                f'{known[0][0]} ({summarize_list(known[0][1])}). Labels would be '
                'mistaken for others: give all the same classes, in the same order.'
            )


def _check_dataset(
    cfg: Config, key: str, samples: int, classes: Sequence[str] | None
) -> None:
    """Make sure that a data set fills a batch and fits the head."""
    name = key.partition('.')[0]
    loader = cfg[name]
    batch = loader.get('batch_size', 1)
    if not isinstance(batch, int) or batch < 1:
        raise UserError(
            f'{cfg.filename}: {name}.batch_size must be a positive int, found {batch!r}'
        )
    batch *= int(os.environ.get('WORLD_SIZE', 1))
    if loader.get('drop_last') and samples < batch:
        raise UserError(
            f'{cfg.filename}: {key} has {samples} samples, but a batch takes {batch} '
            'and what does not fill one is dropped. Lower batch_size.'
        )
    for name in ('cls_head', 'head'):  # mmaction2's, mmpretrain's
        head = cfg.model.get(name)
        if not isinstance(head, Mapping):
            continue
        if classes and head.get('num_classes', len(classes)) != len(classes):
            raise UserError(
                f'{cfg.filename}: {key} has {len(classes)} classes, but model.{name}.'
                f'num_classes is {head["num_classes"]}. They must be the same.'
            )
