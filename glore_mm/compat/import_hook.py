"""Patch modules of other packages when they are imported.

A module of this package registers each patch for the modules that it changes. It runs
when such a module is first imported, so that importing glore_mm stays fast.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from importlib.machinery import ModuleSpec
from importlib.util import module_from_spec
from types import ModuleType
from typing import Any

_Patch = Callable[[Any], None]  # is given the module to patch
_Context = Callable[[], Iterator[None]]

_patches: dict[str, list[_Patch]] = {}
_contexts: dict[str, list[Callable[[], AbstractContextManager[None]]]] = {}


def install() -> None:
    """Patch the modules imported so far, and each later one when it is imported."""
    if _PatchFinder not in sys.meta_path:
        sys.meta_path.insert(0, _PatchFinder)
        for name in _patches:
            if name in sys.modules:
                _apply(name)


def after_import(*names: str) -> Callable[[_Patch], _Patch]:
    """Register a function that `install` calls with each of the modules named.

    Args:
        *names: Full names of the modules. Those that are never imported cost nothing.
    """

    def register(patch: _Patch) -> _Patch:
        for name in names:
            _patches.setdefault(name, []).append(patch)
        return patch

    return register


def during_import(name: str) -> Callable[[_Context], _Context]:
    """Register a context in which the module named is executed, as after_import does.

    Args:
        name: Full name of the module.
    """

    def register(context: _Context) -> _Context:
        _contexts.setdefault(name, []).append(contextmanager(context))
        return context

    return register


def patch_function(
    owner: Any, name: str
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Replace a function by the decorated one, which gets the original first.

    Args:
        owner: The module or the class that has the function.
        name: Its name there.
    """
    original = getattr(owner, name)

    def decorate(replacement: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(original)
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            return replacement(original, *args, **kwargs)

        setattr(owner, name, wrapper)
        return wrapper

    return decorate


def _apply(name: str) -> None:
    for patch in _patches.get(name, ()):
        patch(sys.modules[name])


class _PatchFinder:
    """Finds a module to patch where the other finders of `sys.meta_path` do."""

    @staticmethod
    def find_spec(
        name: str, path: Any = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if name not in _patches and name not in _contexts:
            return None
        for finder in sys.meta_path:
            if finder is not _PatchFinder and hasattr(finder, 'find_spec'):
                spec = finder.find_spec(name, path, target)
                if spec and spec.loader:
                    spec.loader = _PatchLoader(spec.loader)  # type: ignore[assignment]
                    return spec
        return None


class _PatchLoader:
    """Executes a module as its own loader does, and then patches it."""

    def __init__(self, loader: Any) -> None:
        self._loader = loader

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loader, name)

    def exec_module(self, module: Any) -> None:
        module.__loader__ = module.__spec__.loader = self._loader
        name = module.__spec__.name
        with ExitStack() as stack:
            for context in _contexts.get(name, ()):
                stack.enter_context(context())
            self._loader.exec_module(module)
        _apply(name)


def add_module(name: str, **attributes: Any) -> None:
    """Make `import name` yield a module that has nothing but these attributes."""
    module = sys.modules[name] = module_from_spec(ModuleSpec(name, loader=None))
    vars(module).update(attributes)
