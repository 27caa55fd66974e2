"""GloRe: global reasoning units for plain PyTorch and for OpenMMLab.

The units and `insert_glore` need torch and nothing else. Where mmengine is installed,
importing this package also registers them and `WithGloRe` in mmengine's root registry,
and patches what is broken in the installed OpenMMLab releases. It imports no task
library; `glore_mm.seg` does, for the classes of its task.
"""

from importlib.util import find_spec

from glore_mm.insertion import insert_glore, remove_glore
from glore_mm.unit import GloRe1d, GloRe2d, GloRe3d

__version__ = '0.1.0'
__all__ = ['GloRe1d', 'GloRe2d', 'GloRe3d', 'insert_glore', 'remove_glore']

if find_spec('mmengine'):
    from glore_mm import compat
    from glore_mm.registry import WithGloRe

    compat.install()
    __all__ += ['WithGloRe']
