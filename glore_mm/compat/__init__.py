"""Patches for what keeps stock OpenMMLab releases from working on current PyTorch.

One module for each package that is patched. Each function there fixes one fault, which
its comment describes, and changes nothing where the fault is absent: with a full mmcv,
a repaired mmaction2, an older PyTorch, a GPU.
"""

from glore_mm.compat import mmaction, mmcv, mmengine, mmseg, numpy  # noqa: F401
from glore_mm.compat.import_hook import after_import, install

__all__ = ['after_import', 'install']
