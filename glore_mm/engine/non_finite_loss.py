"""NaN and Inf losses: stop training, or skip the batch."""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from mmengine.dist import all_gather_object, all_reduce
from mmengine.model import BaseModel, is_model_wrapper
from mmengine.optim import OptimWrapper
from mmengine.runner import Runner
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from glore_mm.utils.errors import AllRanksError, UserError, summarize_list

_COUNT = 'non_finite_batches'  # key in the message hub, which checkpoints contain


class NonFiniteLossGuard:
    """Training steps that check the loss before it changes the weights.

    A loss that is not finite is an error. Up to `max_non_finite_batches` of the config
    it is a warning instead, and the model is restored to its state before the batch.
    Optimizer wrappers with a loss scaler, for mixed precision on a GPU, skip such
    batches themselves.

    Args:
        runner (Runner): The runner, before training.

    Raises:
        UserError: `max_non_finite_batches` is not a number of batches.
    """

    def __init__(self, runner: Runner) -> None:
        self.limit = runner.cfg.get('max_non_finite_batches', 0)
        if type(self.limit) is not int or self.limit < 0:
            raise UserError(
                f'max_non_finite_batches is {self.limit!r}; expected the largest '
                'number of batches to skip, such as 10, or 0'
            )
        self._runner = runner
        wrapper = runner.optim_wrapper
        if isinstance(wrapper, OptimWrapper) and not hasattr(wrapper, 'loss_scaler'):
            wrapper.update_params = partial(self._update, wrapper.update_params)

    def train_step(self, batch: dict[str, Any]) -> dict[str, Tensor]:
        """Train on a batch.

        Returns:
            dict[str, Tensor]: The losses to log; empty if the batch was left out.

        Raises:
            AllRanksError: The loss is not finite, and no more batches may be left out.
        """
        runner, self._batch, self._left_out = self._runner, batch, False
        # a forward pass changes buffers, such as those of batch norms
        buffers = [b.clone() for b in runner.model.buffers()] if self.limit else []
        outputs = runner.model.train_step(batch, optim_wrapper=runner.optim_wrapper)
        if not self._left_out:
            return outputs
        for buffer, before in zip(runner.model.buffers(), buffers, strict=True):
            buffer.copy_(before)
        return {}

    def _update(
        self, update: Callable[..., None], loss: Tensor, *args: Any, **kwargs: Any
    ) -> None:
        wrong = (~loss.detach().isfinite()).any().float()
        here = bool(wrong)
        all_reduce(wrong, op='max')
        if not wrong:
            update(loss, *args, **kwargs)
            return
        # in all processes, as sync batch norm takes part in the forward pass
        description = self._describe(loss)
        found = all_gather_object(description if here else None)
        message = (
            f'iteration {self._runner.iter + 1}: {"; ".join(filter(None, found))}. '
        )
        hub = self._runner.message_hub
        count = hub.runtime_info.get(_COUNT, 0) + 1
        if count > self.limit:
            before = (
                f' {self.limit} batches were left out before.' if self.limit else ''
            )
            raise AllRanksError(
                f'{message}Training stopped before this changed the weights.{before} '
                'Look at the samples, lower the learning rate, or allow some such '
                'batches to be skipped: --cfg-options max_non_finite_batches=10.'
            )
        hub.update_info(_COUNT, count)
        self._runner.logger.warning(
            f'{message}Left out: {count} batch(es), at most {self.limit}.'
        )
        self._left_out = True

    def _describe(self, loss: Tensor) -> str:
        model = self._runner.model
        model = model.module if is_model_wrapper(model) else model
        context = self._runner.optim_wrapper.optim_context(model)
        with torch.no_grad(), context:
            source = _first_non_finite(model, self._batch)
        files = summarize_list(_files_of(self._batch), shown=16)
        return f'the loss is {loss.item()}: {source}. The samples: {files}'


def _first_non_finite(model: BaseModel, batch: dict[str, Any]) -> str:
    """Describe the source of the first non-finite value, by a second forward pass."""
    data = model.data_preprocessor(batch, True)
    finite_data = _is_finite(data)
    found: list[str] = []

    def look(name: str, module: nn.Module, inputs: object, output: object) -> None:
        # the source can be a product inside a unit, which is no module: then the unit
        # is the first module with finite inputs and a non-finite output
        if not found and _is_finite(inputs) and not _is_finite(output):
            found.append(name)

    handles = [
        module.register_forward_hook(partial(look, name))
        for name, module in model.named_modules()
        if name
    ]
    try:
        losses = model._run_forward(data, mode='loss')
    finally:
        for handle in handles:
            handle.remove()
    for name, parameter in model.named_parameters():
        if not parameter.isfinite().all():
            return f'{name}, a weight, is not finite'
    if not finite_data:
        return 'the samples themselves have such values'
    if found:
        return f'{found[0]} gave the first such value, from finite inputs'
    wrong = [name for name, value in losses.items() if not _is_finite(value)]
    if wrong:
        return f'{wrong[0]} is not finite, from finite scores'
    return 'a second forward pass gave only finite values'


def _is_finite(value: object) -> bool:
    tensors = (leaf for leaf in tree_leaves(value) if isinstance(leaf, Tensor))
    return all(bool(tensor.isfinite().all()) for tensor in tensors)


def _files_of(batch: dict[str, Any]) -> list[str]:
    """Return the file names of the samples of a batch, from their metainfo."""
    keys = ('filename', 'img_path', 'frame_dir')
    samples = batch.get('data_samples') or []
    return [
        next(
            (str(sample.get(key)) for key in keys if sample.get(key)),
            f'sample {place} of the batch',
        )
        for place, sample in enumerate(samples)
    ]
