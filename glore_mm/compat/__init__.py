"""Patches that let released OpenMMLab packages work with current PyTorch and NumPy.

There is one module for each patched package. Each function fixes one fault, which the
comment above it describes. It changes nothing where the fault does not occur: with a
full mmcv, a fixed mmaction2, an older PyTorch or a GPU.
"""

from glore_mm.compat import (  # noqa: F401
    mmaction,
    mmcv,
    mmengine,
    mmpretrain,
    mmseg,
    numpy,
)
from glore_mm.compat.import_hook import after_import, install

__all__ = ['after_import', 'install']
