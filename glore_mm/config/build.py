"""Build the parts of a config; errors name the config key."""

import copy
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from mmengine.config import Config
from mmengine.model import BaseModel
from mmengine.registry import MODELS, Registry

from glore_mm.utils.errors import UserError, error_summary


def build_model(cfg: Config) -> BaseModel:
    """Build the network of a config.

    Raises:
        UserError: It cannot be built.
    """
    preprocessor = cfg.get('data_preprocessor')  # where mmpretrain's configs have it
    defaults = {} if preprocessor is None else dict(data_preprocessor=preprocessor)
    return build_part(cfg, 'model', MODELS, **defaults)


def get_data_preprocessor(cfg: Config) -> dict[str, Any]:
    """The data preprocessor: in the model, or beside it as in mmpretrain's configs."""
    return cfg.model.get('data_preprocessor') or cfg.get('data_preprocessor') or {}


def build_part(cfg: Config, key: str, registry: Registry, **defaults: object) -> Any:
    """Build one part of a config with logging off: a Runner builds it again and logs.

    Args:
        cfg (Config): The config.
        key (str): The part's key, dotted.
        registry (Registry): What builds it.
        defaults: Arguments that the config does not give.

    Raises:
        UserError: It cannot be built.
    """
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with config_key_context(cfg, key):
            part = copy.deepcopy(get_by_path(cfg, key))  # mmseg's models write into it
            return registry.build(part, default_args=defaults)
    finally:
        logging.disable(before)


def get_by_path(cfg: Config, key: str) -> object | None:
    """The value at a dotted key; None where there is none."""
    return dict(walk_config(cfg._cfg_dict)).get(key)


def walk_config(node: object, path: str = '') -> Iterator[tuple[str, object]]:
    """All values in a tree of dicts and lists, by their paths, the outer ones first."""
    yield path, node
    below = [(path, node)]
    while below:
        path, node = below.pop(0)
        named = node.items() if isinstance(node, dict) else ()
        if isinstance(node, list | tuple):
            named = enumerate(node)
        children = [(f'{path}.{name}'.lstrip('.'), child) for name, child in named]
        yield from children
        below += children


@contextmanager
def config_key_context(cfg: Config, key: str | None = None) -> Iterator[None]:
    """Add the config key of the failing part to errors of building in this block.

    `Registry.build` is patched while the block runs.

    Args:
        cfg (Config): The config.
        key (str, optional): The part that the block builds; '' is the whole config.
            Default: None; errors that do not come from a part are raised unchanged.

    Raises:
        UserError: A part cannot be built.
    """
    build = Registry.build

    def build_noting_part(self: Registry, part: Any, *args: Any, **kwargs: Any) -> Any:
        with part_context(part):
            return build(self, part, *args, **kwargs)

    Registry.build = build_noting_part
    try:
        yield
    except Exception as error:
        place = _failed_key(cfg, error) or key
        if place is None:
            raise
        if isinstance(error, UserError):  # it says what is wrong, such as a file
            where = f' [{place} of {cfg.filename}]' if place else ''
            raise UserError(f'{error}{where}') from error
        what = f'{place} cannot be built: ' if place else ''
        raise UserError(f'{cfg.filename}: {what}{_reason(error)}') from error
    finally:
        Registry.build = build


@contextmanager
def part_context(part: Any) -> Iterator[None]:
    """Attach a part's config to an exception, for `config_key_context`."""
    try:
        yield
    except Exception as error:
        if not hasattr(error, 'config_part'):  # of a part within this one
            error.config_part = part  # type: ignore[attr-defined]
        raise


def _failed_key(cfg: Config, error: BaseException | None) -> str | None:
    """The key of the innermost part whose building failed."""
    key = None
    while error is not None:
        key = _find_part(cfg, getattr(error, 'config_part', None)) or key
        error = error.__cause__ or error.__context__
    return key


def _find_part(cfg: Config, part: Any) -> str | None:
    """The key whose value matches a part best; a builder may have changed the part."""
    best, most = None, 0
    for path, node in walk_config(cfg._cfg_dict):
        if not path or not isinstance(node, dict) or not isinstance(part, dict):
            continue
        same = {name for name in node if _is_equal(part.get(name), node[name])}
        plain = {n for n, v in node.items() if isinstance(v, str | int | float | type)}
        if plain <= same and len(same) > most:
            best, most = path, len(same)
    return best


def _is_equal(a: object, b: object) -> bool:
    """Whether two values of a config are equal; arrays do not answer that."""
    try:
        return bool(a == b)
    except Exception:
        return False


def _reason(error: Exception) -> str:
    """The message of an error, without mmengine's advice and the configs in it."""
    text = error_summary(error).partition(' Please check whether')[0]
    return text if len(text) < 300 else f'{text[:300]}…'
