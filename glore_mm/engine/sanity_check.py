"""Validate one batch before training, so that errors in validation appear early."""

import warnings

import torch
from mmengine.runner import Runner

from glore_mm.engine.determinism import preserve_rng_state
from glore_mm.engine.explain_errors import explain
from glore_mm.utils.errors import UserError, error_summary, summarize_list


def check_validation(runner: Runner) -> None:
    """Run validation and its metrics on the first batch, without logging or hooks.

    Random states are restored. All processes must call this.

    Raises:
        UserError: The network or a metric fails on the batch, or validation does not
            return the metric that selects the best checkpoint or stops training.
    """
    loop = runner.val_loop
    if loop is None:
        return
    loader = loop.dataloader
    runner.logger.disabled = True
    try:
        with preserve_rng_state(), torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter('ignore')  # warnings about classes not in the batch
            indices = list(next(iter(loader.batch_sampler)))
            batch = loader.collate_fn([loader.dataset[i] for i in indices])
            runner.model.eval()
            outputs = runner.model.val_step(batch)
            loop.evaluator.process(data_samples=outputs, data_batch=batch)
            metrics = loop.evaluator.evaluate(len(indices))
    except UserError:
        raise
    except Exception as error:
        reason = explain(error, runner.model) or error_summary(error)
        raise UserError(
            f'validation fails on its first batch, tried before training: {reason}'
        ) from error
    finally:
        runner.logger.disabled = False
    _check_monitors(runner, metrics)


def _check_monitors(runner: Runner, metrics: dict[str, object]) -> None:
    """Make sure that validation returns each metric that a hook monitors."""
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
                f'{where} is {monitor!r}, but validation returns '
                f'{summarize_list(metrics)}. Give one of these.'
            )
