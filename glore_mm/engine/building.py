"""What a config describes, built; an error names the key of the part that is wrong."""

import copy
import inspect
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from traceback import walk_tb
from types import FrameType
from typing import Any

from mmengine.config import Config
from mmengine.model import BaseModel
from mmengine.registry import MODELS, Registry
from mmengine.runner import Runner

from glore_mm.engine.reporting import first_line_of
from glore_mm.errors import UserError

#: How functions begin that take a config.
_BUILDERS = ('build', 'register', 'setup')
#: Where they take any part of it: a loop builds its own data loader.
_RUNNERS = ('mmengine.runner.runner', 'glore_mm.engine.runners')


def build_model(cfg: Config) -> BaseModel:
    """The network of a config.

    Raises:
        UserError: It cannot be built.
    """
    preprocessor = cfg.get('data_preprocessor')  # where mmpretrain's configs have it
    given = {} if preprocessor is None else dict(data_preprocessor=preprocessor)
    return build_part(cfg, 'model', MODELS, **given)


def build_part(cfg: Config, key: str, registry: Registry, **defaults: object) -> Any:
    """A part of a config, without what is logged, as a Runner builds it again.

    Args:
        cfg (Config): The config.
        key (str): The part's key in it.
        registry (Registry): What builds it.
        defaults: What it is given where the config has nothing.

    Raises:
        UserError: It cannot be built.
    """
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with telling_keys(cfg, key):
            part = copy.deepcopy(part_of(cfg, key))  # mmseg's models write into it
            return registry.build(part, default_args=defaults)
    finally:
        logging.disable(before)


def part_of(cfg: Config, key: str) -> object | None:
    """What a config has at a dotted key; None where it has nothing."""
    return dict(nodes_of(cfg._cfg_dict)).get(key)


@contextmanager
def telling_keys(cfg: Config, key: str | None = None) -> Iterator[None]:
    """Tell of errors of what is built here by the keys of a config.

    Args:
        cfg (Config): The config.
        key (str, optional): Of the part that is built. Default: of whatever is built
            here; other errors are let through.

    Raises:
        UserError: It cannot be built.
    """
    try:
        yield
    except Exception as error:
        place = _place_of(error, cfg, key)
        if place is None:
            raise
        if isinstance(error, UserError):  # which says what is wrong, such as a file
            where = f' [{place} of {cfg.filename}]' if place else ''
            raise UserError(f'{error}{where}') from error
        what = f'{place} cannot be built: ' if place else ''
        raise UserError(f'{cfg.filename}: {what}{_first_words(error)}') from error


def _place_of(error: BaseException | None, cfg: Config, key: str | None) -> str | None:
    """The key of the innermost part that was being built when an error came up."""
    takes = inspect.signature(Runner).parameters  # not the variables of a config
    whole = {k: v for k, v in cfg._cfg_dict.to_dict().items() if k in takes}
    place, parts = key, dict(nodes_of(whole)).get(key or '')
    while error is not None:
        for frame, _ in walk_tb(error.__traceback__):
            name, part = _built_in(frame)
            found = _most_alike(part, name, parts)
            if found:
                path, parts = found
                place = '.'.join(filter(None, (place, path)))
            elif frame.f_globals.get('__name__') in _RUNNERS:
                place, parts = _most_alike(part, name, whole) or (place, parts)
        error = error.__cause__ or error.__context__
    return place


def _built_in(frame: FrameType) -> tuple[str, object | None]:
    """Name and value of a builder's first argument; of other functions nothing."""
    code = frame.f_code
    names = [n for n in code.co_varnames[: code.co_argcount] if n != 'self']
    if not names or not code.co_name.lstrip('_').startswith(_BUILDERS):
        return '', None
    return names[0], frame.f_locals.get(names[0])


def _most_alike(part: object, name: str, parts: object) -> tuple[str, object] | None:
    """The path and value of what a builder was given, which may have changed it.

    Of several that are alike, the one that is called as the builder calls it.
    """
    best, most = None, (0,)
    for path, value in nodes_of(parts):
        alike = int(part is not None and _equal(part, value))
        if isinstance(part, dict) and isinstance(value, dict):
            if part.get('type') != value.get('type'):
                continue
            alike += sum(_equal(part.get(key), value[key]) for key in value)
        unlike = len(value) - alike if isinstance(value, dict) else 0
        likeness = (alike, -unlike, name in path)
        if alike and likeness > most:
            best, most = (path, value), likeness
    return best


def nodes_of(node: object, path: str = '') -> Iterator[tuple[str, object]]:
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


def _equal(a: object, b: object) -> bool:
    """Whether two values of a config are the same; arrays have no answer to that."""
    try:
        return isinstance(a, type(b)) and bool(a == b)
    except Exception:
        return False


def _first_words(error: Exception) -> str:
    """What an error says, without mmengine's advice and the configs that it prints."""
    text = first_line_of(error).partition(' Please check whether')[0]
    return text if len(text) < 300 else f'{text[:300]}…'
