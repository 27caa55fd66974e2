"""Validate one batch before training: what only validation uses fails early."""

import traceback
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from mmengine.runner import Runner
from torch import nn

from glore_mm.engine.determinism import preserve_rng_state
from glore_mm.utils.errors import UserError, error_summary, summarize_list

#: Errors of the libraries below that a config can cure, by a part of the message.
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


def check_validation(runner: Runner) -> None:
    """Run validation and its metrics on the first batch, without logging or hooks.

    Random states are kept. All processes have to call it.

    Raises:
        UserError: The network or a metric cannot take the batch, or no metric has the
            name by which the best checkpoint is chosen or training is stopped.
    """
    loop = runner.val_loop
    if loop is None:
        return
    loader = loop.dataloader
    runner.logger.disabled = True
    try:
        with preserve_rng_state(), torch.no_grad():
            indices = list(next(iter(loader.batch_sampler)))
            batch = loader.collate_fn([loader.dataset[i] for i in indices])
            runner.model.eval()
            outputs = runner.model.val_step(batch)
            loop.evaluator.process(data_samples=outputs, data_batch=batch)
            metrics = loop.evaluator.evaluate(len(indices))
    except UserError:
        raise
    except Exception as error:
        reason = _explanation(error, runner.model) or error_summary(error)
        raise UserError(
            f'validation fails on its first batch, tried before training: {reason}'
        ) from error
    finally:
        runner.logger.disabled = False
    _check_monitors(runner, metrics)


@contextmanager
def explain_errors(model: nn.Module) -> Iterator[None]:
    """Turn errors of the libraries below that a config can cure into UserErrors."""
    try:
        yield
    except (AssertionError, RuntimeError, ValueError) as error:
        explanation = _explanation(error, model)
        if explanation is None:
            raise
        raise UserError(explanation) from error


def _explanation(error: Exception, model: nn.Module) -> str | None:
    for part, advice in _ADVICE.items():
        if part in str(error):
            layer = _failed_layer(error, model)
            return f'{layer}: {advice}' if layer else advice
    return None


def _failed_layer(error: Exception, model: nn.Module) -> str | None:
    """The name of the innermost layer that an error came from."""
    names = {module: name for name, module in model.named_modules()}
    layer = None
    for frame, _ in traceback.walk_tb(error.__traceback__):
        owner = frame.f_locals.get('self')
        layer = names.get(owner, layer) if isinstance(owner, nn.Module) else layer
    return layer


def _check_monitors(runner: Runner, metrics: dict[str, object]) -> None:
    """Make sure that validation gives each metric that something waits for."""
    wanted: dict[str, str] = {}
    for hook in runner.hooks:
        name = type(hook).__name__
        best = getattr(hook, 'save_best', None) or ()
        for monitor in [best] if isinstance(best, str) else best:
            wanted[monitor] = f'save_best of {name}'
        if isinstance(monitor := getattr(hook, 'monitor', None), str):
            wanted[monitor] = f'monitor of {name}'
    for monitor, where in wanted.items():
        if monitor not in ('auto', *metrics):
            raise UserError(
                f'{where} is {monitor!r}, but validation gives '
                f'{summarize_list(metrics)}. Give one of these.'
            )
