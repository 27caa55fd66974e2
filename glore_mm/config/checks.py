"""Checks of a config before anything runs: its parts, data sets and classes."""

import os
from collections.abc import Mapping, Sequence

import numpy as np
from mmengine.config import Config
from mmengine.dataset import BaseDataset
from mmengine.registry import DATASETS

from glore_mm.config.build import (
    build_model,
    build_part,
    get_by_path,
    get_data_preprocessor,
)
from glore_mm.config.datasets import check_metainfo, leaf_datasets, type_name
from glore_mm.config.heads import check_heads, check_top_k
from glore_mm.insertion import find_units
from glore_mm.utils.errors import UserError, summarize_list
from glore_mm.windows import CACHES

_PARTS = ('dataloader', 'cfg', 'evaluator')  # config keys: val_dataloader, val_cfg, …


def check_train_config(cfg: Config) -> None:
    """Make sure that a config has all parts for training and its validation.

    Raises:
        UserError: A part is missing, is not a dict, or does not fit the others.
    """
    _check_parts(cfg, 'train', 'optim_wrapper', 'train_dataloader.sampler')
    if any(cfg.get(f'val_{part}') is not None for part in _PARTS):
        _check_parts(cfg, 'val')
    check_test_mode(cfg)
    _check_padding(cfg)
    loop = cfg.train_cfg
    by_epoch = loop.get('by_epoch') or 'Epoch' in str(loop.get('type'))
    if by_epoch and type_name(cfg.train_dataloader.sampler) == 'InfiniteSampler':
        raise UserError(
            f'{cfg.filename}: train_dataloader.sampler is InfiniteSampler, but '
            'train_cfg counts epochs, and this sampler never ends one. Give sampler='
            "dict(type='DefaultSampler', shuffle=True), or count iterations."
        )


def check_test_config(cfg: Config) -> None:
    """Make sure that a config has all parts for a test.

    Raises:
        UserError: A part is missing or is not a dict.
    """
    _check_parts(cfg, 'test')
    check_test_mode(cfg)


def check_datasets(
    cfg: Config,
    *loops: str,
    expected: Mapping[str, Sequence[str] | None] | None = None,
) -> dict[str, BaseDataset]:
    """Build and check the data sets, so that errors appear before anything is written.

    Args:
        cfg (Config): The config.
        loops (str): 'train', 'val', 'test'; loops without a data set are skipped.
        expected (Mapping[str, Sequence[str]], optional): Other lists of classes that
            must be the same, by the name of their source.

    Returns:
        dict[str, BaseDataset]: The data sets by loop.

    Raises:
        UserError: A data set cannot be read, does not fit the network, or has different
            classes.
    """
    classes, datasets = dict(expected or {}), {}
    for loop in loops:
        if cfg.get(f'{loop}_dataloader') is None:
            continue
        key = f'{loop}_dataloader.dataset'
        for leaf, part in leaf_datasets(cfg, loop):
            check_metainfo(f'{leaf} of {cfg.filename}', part.get('metainfo') or {})
        datasets[loop] = build_part(cfg, key, DATASETS)
        metainfo = getattr(datasets[loop], 'metainfo', {})
        check_metainfo(f'{key} of {cfg.filename}', metainfo)
        names = classes[key] = metainfo.get('classes')
        _check_batch(cfg, loop, len(datasets[loop]))
        if loop != 'test' and not has_labels(cfg, datasets[loop]):
            raise UserError(
                f'{cfg.filename}: {key} has no labels, but only a test works without '
                'labels'
            )
        if names:
            check_heads(cfg, key, names)
            check_top_k(cfg, key, len(names), f'{loop}_evaluator')
    check_same_classes(classes)
    return datasets


def has_labels(cfg: Config, dataset: BaseDataset) -> bool:
    """Whether the samples of a data set have labels; a test set may have none."""
    if cfg.default_scope == 'mmaction':  # its annotation files always have labels
        return True
    keys = dataset.get_data_info(0)
    return any(key == 'seg_map_path' or key.startswith('gt_') for key in keys)


def check_test_mode(cfg: Config) -> None:
    """Check model.test_cfg of a segmentor: the mode, and the sizes of windows.

    Raises:
        UserError: The mode is unknown, or a setting of it is missing or wrong.
    """
    test_cfg = get_by_path(cfg, 'model.test_cfg')
    if not isinstance(test_cfg, Mapping) or 'mode' not in test_cfg:
        return
    mode = test_cfg['mode']
    if mode not in ('whole', 'slide', 'global_slide'):
        raise UserError(
            f"{cfg.filename}: model.test_cfg.mode is {mode!r}; expected 'whole', "
            "'slide' or 'global_slide'"
        )
    sizes = {}
    for key in ('crop_size', 'stride') if mode != 'whole' else ():
        size = test_cfg.get(key)
        numbers = size if isinstance(size, list | tuple) else ()
        if [type(n) for n in numbers] != [int, int] or min(numbers) < 1:
            raise UserError(
                f'{cfg.filename}: model.test_cfg of mode={mode!r} needs {key}=(height, '
                f'width) in pixels, found {size!r}'
            )
        sizes[key] = numbers
    if sizes and any(s > c for c, s in zip(*sizes.values(), strict=True)):
        raise UserError(
            f'{cfg.filename}: model.test_cfg.stride={sizes["stride"]} is larger than '
            f'crop_size={sizes["crop_size"]}: pixels between the windows would have no '
            'prediction'
        )
    if mode == 'global_slide':
        _check_global_slide(cfg)


def _check_global_slide(cfg: Config) -> None:
    """Check that the windows of a segmentor can share nodes."""
    cache = cfg.model.test_cfg.get('cache', 'none')
    if cache not in CACHES:
        raise UserError(
            f'{cfg.filename}: model.test_cfg.cache is {cache!r}; expected one of '
            f'{", ".join(map(repr, CACHES))}'
        )
    if not find_units(build_model(cfg)):
        raise UserError(
            f"{cfg.filename}: model.test_cfg.mode is 'global_slide', but the network "
            "has no GloRe unit, so its windows share nothing. Use mode='slide'"
        )


def _check_padding(cfg: Config) -> None:
    """Make sure that the data preprocessor of mmsegmentation can pad a batch."""
    part = get_data_preprocessor(cfg)
    if 'type' not in part or type_name(part) != 'SegDataPreProcessor':
        return
    size, divisor = part.get('size'), part.get('size_divisor')
    if (size is None) == (divisor is None):
        raise UserError(
            f'{cfg.filename}: model.data_preprocessor needs either size=(height, width)'
            f' or size_divisor, found size={size!r} and size_divisor={divisor!r}'
        )
    for key, dataset in leaf_datasets(cfg, 'train'):
        for step in dataset.get('pipeline') or ():
            crop = step.get('crop_size') if type_name(step) == 'RandomCrop' else None
            if crop and size and np.less(size, crop).any():
                raise UserError(
                    f'{cfg.filename}: model.data_preprocessor.size {size} is smaller '
                    f'than the crop_size {crop} of {key}.pipeline. Give both the same.'
                )


def _check_parts(cfg: Config, loop: str, *others: str) -> None:
    """Make sure that a config has the parts of a loop and the network."""
    parts = [
        f'{loop}_{part}' for part in _PARTS if (loop, part) != ('train', 'evaluator')
    ]
    for key in ('model', f'{loop}_dataloader.dataset', *parts, *others):
        found = get_by_path(cfg, key)
        kinds = Mapping | list if key.endswith('evaluator') else Mapping
        if not isinstance(found, kinds):
            what = 'nothing' if found is None else repr(found)
            raise UserError(f'{cfg.filename}: {key} must be a dict, found {what}')


def check_same_classes(classes: Mapping[str, Sequence[str] | None]) -> None:
    """Make sure that all sources have the same class names."""
    known = [(source, tuple(names)) for source, names in classes.items() if names]
    for source, names in known[1:]:
        if names != known[0][1]:
            raise UserError(
                f'the classes of {source} ({summarize_list(names)}) are not those of '
                f'{known[0][0]} ({summarize_list(known[0][1])}). Labels would be '
                'mistaken for others: give all the same classes, in the same order.'
            )


def _check_batch(cfg: Config, loop: str, samples: int) -> None:
    """Make sure that a data set has enough samples for a batch."""
    key = f'{loop}_dataloader'
    loader = cfg[key]
    batch = loader.get('batch_size', 1)
    if not isinstance(batch, int) or batch < 1:
        raise UserError(
            f'{cfg.filename}: {key}.batch_size must be a positive int, found {batch!r}'
        )
    batch *= int(os.environ.get('WORLD_SIZE', 1))
    if loader.get('drop_last') and samples < batch:
        raise UserError(
            f'{cfg.filename}: {key}.dataset has {samples} samples, but a batch takes '
            f'{batch}, and drop_last=True drops smaller batches. Lower batch_size.'
        )
