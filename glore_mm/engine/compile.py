"""Use torch.compile with OpenMMLab models."""

import torch
from torch import nn

#: Attributes of OpenMMLab models that are compiled.
_PARTS = ('backbone', 'neck', 'decode_head', 'auxiliary_head', 'head', 'cls_head')


def compile_parts(model: nn.Module) -> None:
    """Compile the backbone, neck and heads of a model separately, in place.

    A whole training step would be recompiled in each iteration, because it logs. The
    parts are compiled for the input size of their first call, and for any size when the
    size changes. The names of the weights do not change.

    Args:
        model (nn.Module): A model of any task, with or without a wrapper for several
            processes.
    """
    while hasattr(model, 'module'):  # several processes, test-time augmentation
        model = model.module
    for name in _PARTS:
        part = getattr(model, name, None)
        if part is not None:  # not the module: mmseg calls `head.forward`
            part.forward = torch.compile(part.forward)
