"""torch.compile for the networks of OpenMMLab."""

import torch
from torch import nn

#: What a model calls by its name, in the libraries' networks.
_PARTS = ('backbone', 'neck', 'decode_head', 'auxiliary_head', 'head', 'cls_head')


def compile_parts(model: nn.Module) -> None:
    """Let the backbone, neck and heads of a model run compiled, each by itself.

    A training step as a whole would be compiled anew at each iteration, as it logs.
    Parts are compiled at their first call, for a size; from a second size on, for any.
    The names of the weights stay as they are.

    Args:
        model (nn.Module): Of any task, in a wrapper for several processes or not.
    """
    while hasattr(model, 'module'):  # several processes, test-time augmentation
        model = model.module
    for name in _PARTS:
        part = getattr(model, name, None)
        if part is not None:  # forward, as heads of mmseg call that
            part.forward = torch.compile(part.forward)
