"""Find the data sets of a config, also inside wrappers such as ConcatDataset."""

from collections.abc import Iterator, Mapping
from typing import Any

from mmengine.config import Config
from mmengine.registry import DATASETS

from glore_mm.config.build import build_part, get_by_path
from glore_mm.utils.errors import UserError


def leaf_datasets(cfg: Config, loop: str) -> Iterator[tuple[str, Any]]:
    """Yield the data sets of a loop that read files, with their config keys.

    The data sets inside wrappers such as ConcatDataset, RepeatDataset and
    ClassBalancedDataset are returned, not the wrappers.

    Args:
        cfg (Config): The config.
        loop (str): 'train', 'val' or 'test'.
    """
    yield from _leaves(cfg, f'{loop}_dataloader.dataset')


def _leaves(cfg: Config, key: str) -> Iterator[tuple[str, Any]]:
    node: Any = get_by_path(cfg, key)
    if not isinstance(node, Mapping):
        return
    if isinstance(node.get('dataset'), Mapping):
        yield from _leaves(cfg, f'{key}.dataset')
    elif isinstance(node.get('datasets'), list | tuple):
        for index in range(len(node['datasets'])):
            yield from _leaves(cfg, f'{key}.datasets.{index}')
    else:
        yield key, node


def first_dataset(cfg: Config, loop: str = 'test') -> tuple[str, Any]:
    """Return the first data set of a loop that reads files, with its config key.

    Raises:
        UserError: The config has none.
    """
    for found in leaf_datasets(cfg, loop):
        return found
    raise UserError(
        f'{cfg.filename}: {loop}_dataloader.dataset must be a dict, found nothing. '
        'Give a config with a test set.'
    )


def test_pipeline(cfg: Config) -> list[dict[str, Any]]:
    """Return the transforms of the test set, or of the first of several.

    Raises:
        UserError: The config has none.
    """
    key, dataset = first_dataset(cfg)
    pipeline = dataset.get('pipeline')
    if not isinstance(pipeline, list | tuple) or not pipeline:
        raise UserError(
            f'{cfg.filename}: {key}.pipeline must be a list of transforms, found '
            f'{pipeline!r}. The tools preprocess their inputs with it.'
        )
    return list(pipeline)


def find_band_loader(cfg: Config) -> Mapping[str, Any] | None:
    """Return the LoadBands of the test pipeline, if its images are read by one."""
    for _, dataset in leaf_datasets(cfg, 'test'):
        for step in dataset.get('pipeline') or ():
            if type_name(step) == 'LoadBands':
                return step
    return None


def type_name(part: Mapping[str, Any]) -> str:
    """Return the name of a part's type, a string or a class; '' without a type."""
    kind = part.get('type') or ''
    return kind.rpartition('.')[2] if isinstance(kind, str) else kind.__name__


def dataset_metainfo(cfg: Config) -> dict[str, Any]:
    """Return the metainfo of the test set, such as its classes, without reading data.

    Raises:
        UserError: The data set cannot be built, or its metainfo is wrong.
    """
    key, _ = first_dataset(cfg)
    metainfo = build_part(cfg, key, DATASETS, lazy_init=True).metainfo
    check_metainfo(f'{key} of {cfg.filename}', metainfo)
    return metainfo


def check_metainfo(where: str, metainfo: Mapping[str, Any]) -> None:
    """Check the names and the colours of the classes.

    Args:
        where (str): The name of the data set, for messages.
        metainfo (Mapping): The metainfo of the data set.

    Raises:
        UserError: The classes are not a list of strings, or the palette has another
            length.
    """
    classes, palette = metainfo.get('classes'), metainfo.get('palette')
    if isinstance(classes, str):
        raise UserError(
            f'{where}: classes is the single string {classes!r}; expected a list of '
            f'names, such as [{classes!r}]'
        )
    if wrong := [name for name in classes or () if not isinstance(name, str)]:
        raise UserError(
            f'{where}: the class {wrong[0]!r} is not a string; write {str(wrong[0])!r}'
        )
    if classes and palette and len(palette) != len(classes):
        raise UserError(
            f'{where}: palette has {len(palette)} colours for {len(classes)} classes; '
            'give one colour for each class'
        )
