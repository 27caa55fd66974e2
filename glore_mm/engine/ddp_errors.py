"""What DistributedDataParallel says of parameters, in the terms of the config."""

import re
from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn

from glore_mm.utils.errors import UserError, summarize_list


@contextmanager
def ddp_error_context(model: nn.Module) -> Iterator[None]:
    """Name the parameters that PyTorch's errors are about, and the option that helps.

    Args:
        model (nn.Module): What the block trains.

    Raises:
        UserError: Some had no part in the loss of the batch before, or one was used
            twice, as activation checkpointing does.
    """
    try:
        yield
    except RuntimeError as error:
        text = str(error)
        if unused := re.search(r'which did not receive grad .*: ([\d ]+)', text):
            named = model.get_submodule('module').named_parameters()
            names = [name for name, parameter in named if parameter.requires_grad]
            listed = [names[int(index)] for index in unused[1].split()]
            raise UserError(
                f'{len(listed)} parameters have no part in the loss: '
                f'{summarize_list(listed)}. Leave their layers out or freeze them, or '
                'set find_unused_parameters=True in the config, which takes time in '
                'each iteration.'
            ) from error
        if twice := re.search(r'with name (\S+) has been marked as ready twice', text):
            raise UserError(
                f'{twice[1]} is used twice in an iteration, as with_cp=True does, and '
                'find_unused_parameters=True cannot follow that. Leave one of them out,'
                " or set model_wrapper_cfg=dict(type='MMDistributedDataParallel', "
                'static_graph=True) in place of find_unused_parameters.'
            ) from error
        raise
