"""Build the parts of a config; an error names the config key."""

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
        UserError: The network cannot be built.
    """
    preprocessor = cfg.get('data_preprocessor')  # in mmpretrain's configs
    defaults = {} if preprocessor is None else dict(data_preprocessor=preprocessor)
    return build_part(cfg, 'model', MODELS, **defaults)


def get_data_preprocessor(cfg: Config) -> dict[str, Any]:
    """Return `model.data_preprocessor`, or `data_preprocessor` as in mmpretrain."""
    return cfg.model.get('data_preprocessor') or cfg.get('data_preprocessor') or {}


def build_part(cfg: Config, key: str, registry: Registry, **defaults: object) -> Any:
    """Build one part of a config.

    Logging is disabled: a Runner builds the part again and logs then.

    Args:
        cfg (Config): The config.
        key (str): The dotted key of the part.
        registry (Registry): The registry that builds it.
        defaults: Arguments to add if the config does not set them.

    Raises:
        UserError: The part cannot be built.
    """
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with config_key_context(cfg, key):
            part = copy.deepcopy(get_by_path(cfg, key))  # models of mmseg modify it
            return registry.build(part, default_args=defaults)
    finally:
        logging.disable(before)


def get_by_path(cfg: Config, key: str) -> object | None:
    """Return the value at a dotted key; None without one."""
    return dict(walk_config(cfg._cfg_dict)).get(key)


def walk_config(node: object, path: str = '') -> Iterator[tuple[str, object]]:
    """Yield all values in a tree of dicts and lists, with dotted paths, outer first."""
    yield path, node
    queue = [(path, node)]
    while queue:
        path, node = queue.pop(0)
        named = node.items() if isinstance(node, dict) else ()
        if isinstance(node, list | tuple):
            named = enumerate(node)
        children = [(f'{path}.{name}'.lstrip('.'), child) for name, child in named]
        yield from children
        queue += children


@contextmanager
def config_key_context(cfg: Config, key: str | None = None) -> Iterator[None]:
    """Add the config key of the part that cannot be built to errors in this block.

    `Registry.build` is patched while the block runs.

    Args:
        cfg (Config): The config.
        key (str, optional): The part that the block builds; '' is the whole config. It
            is named if no inner part is known to fail. Default: None; such errors are
            raised unchanged.

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
        if isinstance(error, UserError):  # its message is complete, but for the key
            where = f' [{place} of {cfg.filename}]' if place else ''
            raise UserError(f'{error}{where}') from error
        what = f'{place} cannot be built: ' if place else ''
        raise UserError(f'{cfg.filename}: {what}{_reason(error)}') from error
    finally:
        Registry.build = build


@contextmanager
def part_context(part: Any) -> Iterator[None]:
    """Attach the config of a part to an exception, for `config_key_context`."""
    try:
        yield
    except Exception as error:
        if not hasattr(error, 'config_part'):  # otherwise an inner part failed
            error.config_part = part  # type: ignore[attr-defined]
        raise


def _failed_key(cfg: Config, error: BaseException | None) -> str | None:
    """Return the key of the innermost part that could not be built."""
    key = None
    while error is not None:
        key = _find_part(cfg, getattr(error, 'config_part', None)) or key
        error = error.__cause__ or error.__context__
    return key


def _find_part(cfg: Config, part: Any) -> str | None:
    """Return the key whose value matches a part best; builders may modify a part."""
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
    """Whether two values of a config are equal; False if they cannot be compared."""
    try:
        return bool(a == b)
    except Exception:
        return False


def _reason(error: Exception) -> str:
    """Return the message of an error, without mmengine's advice and long configs."""
    text = error_summary(error).partition(' Please check whether')[0]
    return text if len(text) < 300 else f'{text[:300]}…'
