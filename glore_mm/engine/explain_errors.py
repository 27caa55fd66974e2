"""Errors of the libraries below that a config can cure, in the terms of the config."""

import re
import traceback
from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn

from glore_mm.utils.errors import UserError, summarize_list

#: What to do, by a part of the message.
_ADVICE = {
    'image size in a batch should be the same': (
        'the images of a batch have different sizes. Give batch_size=1 to the data '
        'loader, or let the preprocessor pad: '
        'model.data_preprocessor.test_cfg=dict(size_divisor=32)'
    ),
    'stack expects each tensor to be equal size': (
        'the samples of a batch have different sizes. Give batch_size=1 to the data '
        'loader, or a crop of one size to its pipeline'
    ),
    'Expected more than 1 value per channel when training': (
        'batch norm cannot train on a single value per channel: a batch of one sample '
        'with a 1×1 map. Give a larger batch_size with drop_last=True, or a larger crop'
    ),
}


@contextmanager
def explain_errors(model: nn.Module) -> Iterator[None]:
    """Say what in the config helps, and name the layer or the parameters.

    Args:
        model (nn.Module): What runs in the block.

    Raises:
        UserError: In the place of an error that `explain` knows.
    """
    try:
        yield
    except (AssertionError, RuntimeError, ValueError) as error:
        if explanation := explain(error, model):
            raise UserError(explanation) from error
        raise


def explain(error: Exception, model: nn.Module) -> str | None:
    """What an error of a library means for the config; None if that is not known."""
    text = str(error)
    for part, advice in _ADVICE.items():
        if part in text:
            layer = _failed_layer(error, model)
            return f'{layer}: {advice}' if layer else advice
    # DistributedDataParallel, on the batch before
    if unused := re.search(r'which did not receive grad .*: ([\d ]+)', text):
        named = model.get_submodule('module').named_parameters()
        names = [name for name, parameter in named if parameter.requires_grad]
        listed = [names[int(index)] for index in unused[1].split()]
        return (
            f'{len(listed)} parameters have no part in the loss: '
            f'{summarize_list(listed)}. Leave their layers out or freeze them, or set '
            'find_unused_parameters=True in the config, which takes time in each '
            'iteration.'
        )
    if twice := re.search(r'with name (\S+) has been marked as ready twice', text):
        return (
            f'{twice[1]} is used twice in an iteration, as with_cp=True does, and '
            'find_unused_parameters=True cannot follow that. Leave one of them out, or '
            "set model_wrapper_cfg=dict(type='MMDistributedDataParallel', "
            'static_graph=True) in place of find_unused_parameters.'
        )
    return None


def _failed_layer(error: Exception, model: nn.Module) -> str | None:
    """The name of the innermost layer that an error came from."""
    names = {module: name for name, module in model.named_modules()}
    layer = None
    for frame, _ in traceback.walk_tb(error.__traceback__):
        owner = frame.f_locals.get('self')
        layer = names.get(owner, layer) if isinstance(owner, nn.Module) else layer
    return layer
