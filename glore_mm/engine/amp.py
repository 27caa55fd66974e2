"""Mixed precision on a CPU, where mmengine's AmpOptimWrapper does not run."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from mmengine.optim import OptimWrapper
from mmengine.registry import OPTIM_WRAPPERS
from torch import nn


@OPTIM_WRAPPERS.register_module()
class CPUAmpOptimWrapper(OptimWrapper):
    """Runs the forward pass in bfloat16 autocast, which needs no loss scaling."""

    @contextmanager
    def optim_context(self, model: nn.Module) -> Iterator[None]:
        """Return the context of a forward pass."""
        with super().optim_context(model), torch.autocast('cpu', torch.bfloat16):
            yield
