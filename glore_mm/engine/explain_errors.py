"""Explain errors of PyTorch and OpenMMLab that a change of the config can fix."""

import re
import traceback
from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn

from glore_mm.utils.errors import UserError, summarize_list

#: Explanations by a part of the message of an error.
_ADVICE = {
    'image size in a batch should be the same': (
        'the images of a batch have different sizes. Give batch_size=1 to the data '
        'loader, or resize all images to one size in its pipeline: '
        "dict(type='Resize', scale=(width, height), keep_ratio=False)"
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
    """Replace errors that `explain` knows by their explanations.

    Args:
        model (nn.Module): The model that runs in the block.

    Raises:
        UserError: The explanation.
    """
    try:
        yield
    except (AssertionError, RuntimeError, ValueError) as error:
        if explanation := explain(error, model):
            raise UserError(explanation) from error
        raise


def explain(error: Exception, model: nn.Module) -> str | None:
    """Return the layer and the remedy for an error of a library; None if unknown."""
    text = str(error)
    for part, advice in _ADVICE.items():
        if part in text:
            layer = _failed_layer(error, model)
            return f'{layer}: {advice}' if layer else advice
    # DistributedDataParallel reports unused parameters in the next iteration
    if unused := re.search(r'which did not receive grad .*: ([\d ]+)', text):
        named = model.get_submodule('module').named_parameters()
        names = [name for name, parameter in named if parameter.requires_grad]
        unused_names = [names[int(index)] for index in unused[1].split()]
        return (
            f'{len(unused_names)} parameters do not contribute to the loss: '
            f'{summarize_list(unused_names)}. Leave their layers out or freeze them, '
            'or set find_unused_parameters=True in the config, which takes time in '
            'each iteration.'
        )
    if twice := re.search(r'with name (\S+) has been marked as ready twice', text):
        return (
            f'{twice[1]} is used twice in an iteration, as with_cp=True does, which '
            'find_unused_parameters=True does not support. Leave one of them out, or '
            "set model_wrapper_cfg=dict(type='MMDistributedDataParallel', "
            'static_graph=True) instead of find_unused_parameters.'
        )
    return None


def _failed_layer(error: Exception, model: nn.Module) -> str | None:
    """Return the name of the innermost layer in the traceback of an error."""
    names = {module: name for name, module in model.named_modules()}
    layer = None
    for frame, _ in traceback.walk_tb(error.__traceback__):
        owner = frame.f_locals.get('self')
        layer = names.get(owner, layer) if isinstance(owner, nn.Module) else layer
    return layer
