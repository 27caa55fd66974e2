"""Fit heads and their losses to the classes, and check them against these."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from mmengine.config import Config
from mmengine.registry import DATASETS

from glore_mm.config.build import build_part, get_by_path, walk_config
from glore_mm.config.datasets import first_dataset, leaf_datasets, type_name
from glore_mm.utils.errors import UserError

#: Config keys of heads, and the keys of their losses, in mmsegmentation, mmpretrain and
#: mmaction2.
_HEADS = dict(
    decode_head='loss_decode',
    auxiliary_head='loss_decode',
    head='loss',
    cls_head='loss_cls',
)


def complete_heads(cfg: Config) -> None:
    """Set what the heads of a config leave to its data set.

    A head with `num_classes=None` gets the number of classes of the data set. These
    classes are written to the data sets of the config, so that the config that a
    training writes to its work dir does not depend on the data. With
    `binary='sigmoid'`, a segmentor gets one output channel.

    Raises:
        UserError: The classes are not known, or `binary` has another value.
    """
    _set_binary(cfg)
    unset = [head for _, head, _ in _heads(cfg) if head.get('num_classes', 0) is None]
    if not unset:
        return
    key, _ = first_dataset(cfg, 'train' if cfg.get('train_dataloader') else 'test')
    metainfo = build_part(cfg, key, DATASETS, lazy_init=True).metainfo
    if not metainfo.get('classes'):
        build_part(cfg, key, DATASETS)  # reports the missing files
        raise UserError(f'{cfg.filename}: {key} has no classes; give classes=a,b,c')
    for head in unset:
        head['num_classes'] = len(metainfo['classes'])
    for loop in ('train', 'val', 'test'):
        for _, dataset in leaf_datasets(cfg, loop):
            for name in ('classes', 'palette'):
                if not isinstance(dataset.get(name, ()), list | tuple):
                    dataset[name] = list(metainfo[name])


def _set_binary(cfg: Config) -> None:
    """Give a segmentor the output channels of the config's `binary`."""
    form = cfg.get('binary')
    if form not in (None, 'softmax', 'sigmoid'):
        raise UserError(
            f"{cfg.filename}: binary is {form!r}; expected 'softmax' (two output "
            "channels) or 'sigmoid' (one)"
        )
    if form != 'sigmoid':
        return
    for key, head, losses in _heads(cfg):
        head['out_channels'] = 1
        if key.startswith('model.decode_head'):
            head.setdefault('threshold', 0.5)
        for _, loss in losses:
            if type_name(loss) == 'CrossEntropyLoss':
                loss['use_sigmoid'] = True


def set_class_weights(cfg: Config, weights: Sequence[float]) -> None:
    """Set the class weights of all cross entropies of a config.

    Args:
        cfg (Config): The config.
        weights (Sequence[float]): A weight for each class.

    Raises:
        UserError: The network has no cross entropy.
    """
    found = False
    for _, head, losses in _heads(cfg):
        for _, loss in losses:
            if type_name(loss) == 'CrossEntropyLoss':
                found = True
                one_channel = head.get('out_channels') == 1
                ratio = [weights[-1] / weights[0]]  # the weight of the foreground
                loss['class_weight'] = ratio if one_channel else list(weights)
    if not found:
        raise UserError(
            f'{cfg.filename}: class_weights needs a head with a CrossEntropyLoss'
        )


def check_heads(cfg: Config, source: str, classes: Sequence[str]) -> None:
    """Make sure that the heads of a network fit the classes.

    Args:
        cfg (Config): The config.
        source (str): The source of the classes, for messages.
        classes (Sequence[str]): The names of the classes.

    Raises:
        UserError: A head or its loss has another number of classes.
    """
    count = len(classes)
    for key, head, losses in _heads(cfg):
        found = head.get('num_classes', count)
        # one output channel is enough for two classes
        if found != count and (found, count) != (1, 2):
            raise UserError(
                f'{cfg.filename}: {source} has {count} classes, but {key}.num_classes '
                f'is {found}. They must be the same.'
            )
        for loss_key, loss in losses:
            weights = loss.get('class_weight')
            channels = head.get('out_channels') or found
            if isinstance(weights, list | tuple) and len(weights) != channels:
                raise UserError(
                    f'{cfg.filename}: {loss_key}.class_weight has {len(weights)} '
                    f'numbers for {channels} classes; give one for each'
                )
        if key.startswith(('model.decode', 'model.aux')) and found <= 2:
            _check_binary(cfg, key, head, [loss for _, loss in losses])
        check_top_k(cfg, source, max(found, 2), key)


def _heads(
    cfg: Config,
) -> Iterator[tuple[str, dict[str, Any], list[tuple[str, dict[str, Any]]]]]:
    """Yield the config key of each head, the head, and its losses with their keys."""
    model = cfg.get('model')
    if not isinstance(model, Mapping):  # reported where the network is built
        return
    model = model.get('module', model)  # the network of a TTA model
    for name, loss_name in _HEADS.items():
        for key, head in _each(f'model.{name}', model.get(name)):
            losses = _each(f'{key}.{loss_name}', head.get(loss_name))
            yield key, head, list(losses)


def _each(key: str, part: object) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield a part of a config, or each part of a list, with its key."""
    if isinstance(part, dict):
        yield key, part
    elif isinstance(part, list | tuple):
        for index, each in enumerate(part):
            yield from _each(f'{key}.{index}', each)


def _check_binary(
    cfg: Config, key: str, head: Mapping[str, Any], losses: list[Mapping[str, Any]]
) -> None:
    """Make sure that the loss of a head with one output channel uses a sigmoid."""
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


def check_top_k(cfg: Config, source: str, count: int, place: str) -> None:
    """Make sure that top-k of a head or an evaluator is at most the number of classes.

    Args:
        cfg (Config): The config.
        source (str): The source of the classes, for messages.
        count (int): The number of classes.
        place (str): The config key of the head or the evaluator.

    Raises:
        UserError: A k is larger.
    """
    for path, node in walk_config(get_by_path(cfg, place)):
        if not isinstance(node, Mapping):
            continue
        key, found = f'{place}.{path}'.rstrip('.'), node.get('topk')
        if (
            'type' in node
            and type_name(node) == 'AccMetric'
            and 'metric_options' not in node
        ):
            key, found = f'{key}.metric_options.top_k_accuracy', (1, 5)  # its default
        top = max(found) if isinstance(found, list | tuple) and found else found
        if isinstance(top, int) and top > count:
            raise UserError(
                f'{cfg.filename}: {key}.topk is {found}, but {source} has {count} '
                f'classes. Give topk=(1,).'
            )
