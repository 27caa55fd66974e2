"""GloRe: global reasoning units for OpenMMLab and plain PyTorch.

Importing this package registers the units and `WithGloRe` in mmengine's root registry
and mends what is broken in the installed OpenMMLab releases. It imports no task
library; `glore_mm.seg` does, for the classes of its task.
"""

from glore_mm import compat
from glore_mm.insertion import WithGloRe, insert_glore
from glore_mm.unit import GloRe1d, GloRe2d, GloRe3d

compat.install()

__version__ = '0.1.0'
__all__ = ['GloRe1d', 'GloRe2d', 'GloRe3d', 'WithGloRe', 'insert_glore']
