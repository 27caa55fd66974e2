"""GloRe: global reasoning units for plain PyTorch and for OpenMMLab.

The units and `insert_glore` need torch and nothing else. Where mmengine is imported,
before this package or after it, the units and `WithGloRe` are registered in its root
registry, and faults of the installed OpenMMLab releases are patched. This package
imports no task library; `glore_mm.seg` does, for the classes of its task.
"""

from importlib.util import find_spec
from types import ModuleType
from typing import TYPE_CHECKING, Any

from glore_mm.compat import after_import, install

if TYPE_CHECKING:
    from glore_mm.insertion import insert_glore, remove_glore
    from glore_mm.unit import GloRe1d, GloRe2d, GloRe3d

__version__ = '0.1.0'
__all__ = ['GloRe1d', 'GloRe2d', 'GloRe3d', 'insert_glore', 'remove_glore']
if find_spec('mmengine'):
    __all__ += ['WithGloRe']


@after_import('mmengine')
def _register(_: ModuleType) -> None:
    from glore_mm import registry  # noqa: F401


install()


def __getattr__(name: str) -> Any:
    """Import what is first used: `--help` of a tool has no use for torch."""
    home: ModuleType
    if name in ('insert_glore', 'remove_glore'):
        from glore_mm import insertion as home
    elif name == 'WithGloRe':
        from glore_mm import registry as home
    elif name in __all__:
        from glore_mm import unit as home
    else:
        raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
    return getattr(home, name)
