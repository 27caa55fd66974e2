"""Checks of a config before anything runs: its parts, data sets and classes."""

import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from mmengine.config import Config
from mmengine.dataset import BaseDataset
from mmengine.registry import DATASETS

from glore_mm.config.build import build_part, get_by_path, walk_config
from glore_mm.config.datasets import check_metainfo, leaf_datasets, type_name
from glore_mm.utils.errors import UserError, summarize_list

_PARTS = ('dataloader', 'cfg', 'evaluator')  # of a loop: val_dataloader, val_cfg, …
#: Heads of a network, and the key of their losses: mmsegmentation's, mmpretrain's,
#: mmaction2's.
_HEADS = dict(
    decode_head='loss_decode',
    auxiliary_head='loss_decode',
    head='loss',
    cls_head='loss_cls',
)


def check_train_config(cfg: Config) -> None:
    """Make sure that a config has the parts of a training, and of its validation.

    Raises:
        UserError: A part is missing, is no dict, or does not fit the others.
    """
    _check_parts(cfg, 'train', 'optim_wrapper', 'train_dataloader.sampler')
    if any(cfg.get(f'val_{part}') is not None for part in _PARTS):
        _check_parts(cfg, 'val')
    _check_test_mode(cfg)
    _check_padding(cfg)
    loop = cfg.train_cfg
    by_epoch = loop.get('by_epoch') or 'Epoch' in str(loop.get('type'))
    if by_epoch and type_name(cfg.train_dataloader.sampler) == 'InfiniteSampler':
        raise UserError(
            f'{cfg.filename}: train_dataloader.sampler is InfiniteSampler, but '
            'train_cfg counts epochs, and its samples never end. Give sampler='
            "dict(type='DefaultSampler', shuffle=True), or count iterations."
        )


def check_test_config(cfg: Config) -> None:
    """Make sure that a config has the parts of a test.

    Raises:
        UserError: A part is missing or is no dict.
    """
    _check_parts(cfg, 'test')
    _check_test_mode(cfg)


def check_datasets(
    cfg: Config,
    *loops: str,
    expected: Mapping[str, Sequence[str] | None] | None = None,
) -> dict[str, BaseDataset]:
    """Build and check the data sets, so that errors appear before anything is written.

    Args:
        cfg (Config): The config.
        loops (str): 'train', 'val', 'test'; those without a data set are left out.
        expected (Mapping[str, Sequence[str]], optional): Further lists of classes that
            must be the same, by their source.

    Returns:
        dict[str, BaseDataset]: The data sets by loop.

    Raises:
        UserError: A data set cannot be read, does not fit the network, or has other
            classes than the rest.
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
                f'{cfg.filename}: {key} has no labels, which only a test can do without'
            )
        if names:
            check_heads(cfg, key, names)
            _check_top_k(cfg, key, len(names), f'{loop}_evaluator')
    check_same_classes(classes)
    return datasets


def has_labels(cfg: Config, dataset: BaseDataset) -> bool:
    """Whether the samples of a data set have labels; those of a test may not."""
    if cfg.default_scope == 'mmaction':  # its lists have them
        return True
    keys = dataset.get_data_info(0)
    return any(key == 'seg_map_path' or key.startswith('gt_') for key in keys)


def check_heads(cfg: Config, source: str, classes: Sequence[str]) -> None:
    """Make sure that the heads of a network fit the classes.

    Args:
        cfg (Config): The config.
        source (str): What has the classes, for messages.
        classes (Sequence[str]): Their names.

    Raises:
        UserError: A head is made for another number of classes, or its loss is.
    """
    count = len(classes)
    for key, head, losses in _heads(cfg):
        found = head.get('num_classes', count)
        # one channel tells two classes apart
        if found != count and (found, count) != (1, 2):
            raise UserError(
                f'{cfg.filename}: {source} has {count} classes, but {key}.num_classes '
                f'is {found}. They must be the same.'
            )
        for loss_key, loss in losses:
            weights = loss.get('class_weight')
            if isinstance(weights, list | tuple) and len(weights) != found:
                raise UserError(
                    f'{cfg.filename}: {loss_key}.class_weight has {len(weights)} '
                    f'numbers for {found} classes; give one for each'
                )
        if key.startswith(('model.decode', 'model.aux')) and found <= 2:
            _check_binary(cfg, key, head, [loss for _, loss in losses])
        _check_top_k(cfg, source, max(found, 2), key)


def _heads(
    cfg: Config,
) -> Iterator[tuple[str, Mapping[str, Any], list[tuple[str, Mapping[str, Any]]]]]:
    """The heads of a network, each with its losses; all with their config keys."""
    model = cfg.model.get('module', cfg.model)  # that of a TTA model
    for name, loss_name in _HEADS.items():
        for key, head in _each(f'model.{name}', model.get(name)):
            losses = _each(f'{key}.{loss_name}', head.get(loss_name))
            yield key, head, list(losses)


def _each(key: str, part: object) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """A part of a config, or each part of a list, with its key."""
    if isinstance(part, Mapping):
        yield key, part
    elif isinstance(part, list | tuple):
        for index, each in enumerate(part):
            yield from _each(f'{key}.{index}', each)


def _check_binary(
    cfg: Config, key: str, head: Mapping[str, Any], losses: list[Mapping[str, Any]]
) -> None:
    """Make sure that the loss of a head with one channel is that of a sigmoid."""
    if head.get('out_channels', head.get('num_classes')) != 1:
        return
    for loss in losses or [dict(type='CrossEntropyLoss')]:
        kind = type_name(loss)
        softmax = kind == 'CrossEntropyLoss' and not loss.get('use_sigmoid')
        if softmax or kind in ('OhemCrossEntropy', 'TverskyLoss'):
            raise UserError(
                f'{cfg.filename}: {key} has one output channel, which the softmax of '
                f"{kind} cannot train. Give loss_decode=dict(type='CrossEntropyLoss', "
                'use_sigmoid=True), or two channels: num_classes=2 without '
                'out_channels.'
            )


def _check_top_k(cfg: Config, source: str, count: int, place: str) -> None:
    """Make sure that a head or an evaluator ranks no more classes than there are."""
    for path, node in walk_config(get_by_path(cfg, place)):
        if not isinstance(node, Mapping):
            continue
        key, found = f'{place}.{path}'.rstrip('.'), node.get('topk')
        if node.get('type') == 'AccMetric' and 'metric_options' not in node:
            key, found = f'{key}.metric_options.top_k_accuracy', (1, 5)  # its default
        top = max(found) if isinstance(found, list | tuple) and found else found
        if isinstance(top, int) and top > count:
            raise UserError(
                f'{cfg.filename}: {key}.topk is {found}, but {source} has {count} '
                f'classes. Give topk=(1,).'
            )


def _check_test_mode(cfg: Config) -> None:
    """Make sure that a segmentor is told how to predict an image."""
    test_cfg = get_by_path(cfg, 'model.test_cfg')
    if not isinstance(test_cfg, Mapping) or 'mode' not in test_cfg:
        return
    mode = test_cfg['mode']
    if mode not in ('whole', 'slide'):
        raise UserError(
            f"{cfg.filename}: model.test_cfg.mode is {mode!r}; expected 'whole' or "
            "'slide'"
        )
    for key in ('crop_size', 'stride') if mode == 'slide' else ():
        size = test_cfg.get(key)
        numbers = size if isinstance(size, list | tuple) else ()
        if [type(n) for n in numbers] != [int, int] or min(numbers) < 1:
            raise UserError(
                f"{cfg.filename}: model.test_cfg of mode='slide' needs {key}=(height, "
                f'width) in pixels, found {size!r}'
            )


def _check_padding(cfg: Config) -> None:
    """Make sure that mmsegmentation's preprocessor can pad the images of a batch."""
    part = cfg.model.get('data_preprocessor') or cfg.get('data_preprocessor') or {}
    if type_name({'type': '', **part}) != 'SegDataPreProcessor':
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
            if (
                isinstance(size, list | tuple)
                and crop
                and any(a < b for a, b in zip(size, crop, strict=False))
            ):
                raise UserError(
                    f'{cfg.filename}: model.data_preprocessor.size {tuple(size)} is '
                    f'smaller than the crop_size {tuple(crop)} of {key}.pipeline. Give '
                    'both the same.'
                )


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


def check_same_classes(classes: Mapping[str, Sequence[str] | None]) -> None:
    """Make sure that all sources of class names have the same ones."""
    known = [(source, tuple(names)) for source, names in classes.items() if names]
    for source, names in known[1:]:
        if names != known[0][1]:
            raise UserError(
                f'the classes of {source} ({summarize_list(names)}) are not those of '
                f'{known[0][0]} ({summarize_list(known[0][1])}). Labels would be '
                'mistaken for others: give all the same classes, in the same order.'
            )


def _check_batch(cfg: Config, loop: str, samples: int) -> None:
    """Make sure that a data set fills a batch."""
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
            f'{batch} and what does not fill one is dropped. Lower batch_size.'
        )
