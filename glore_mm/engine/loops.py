"""Training loops that resume exactly, also within an epoch."""

from typing import Any

import torch
from mmengine.dataset import InfiniteSampler
from mmengine.dist import all_reduce_dict, get_rank, get_world_size
from mmengine.registry import LOOPS
from mmengine.runner import BaseLoop, EpochBasedTrainLoop, IterBasedTrainLoop, Runner
from torch.utils.data import DataLoader

from glore_mm.engine.determinism import (
    iter_preserving_rng,
    preserve_rng_state,
    set_rng_state,
)
from glore_mm.engine.explain_errors import explain_errors
from glore_mm.engine.hooks.checkpoint import get_checkpoint_hook
from glore_mm.engine.non_finite_loss import NonFiniteLossGuard
from glore_mm.engine.resume import ResumeState
from glore_mm.engine.sanity_check import check_validation
from glore_mm.engine.signals import (
    handle_signals,
    pending_signal,
    raise_interrupted,
    was_peer_signalled,
)


class _ResumableLoop(BaseLoop):
    """Base class of both loops.

    The order of the samples and their augmentation depend only on the seed and on the
    position in the training. All other random numbers continue from the states in the
    checkpoint; loading data and validation do not change these states.
    """

    def __init__(
        self,
        runner: Runner,
        dataloader: dict[str, Any] | DataLoader[Any],
        *args: Any,
        **kwargs: Any,
    ) -> None:
        self._start = runner.resume_state
        if isinstance(dataloader, dict):
            dataloader = _build_indexed_loader(runner, dataloader)
            self._seek(dataloader, self._start)
        super().__init__(runner, dataloader, *args, **kwargs)

    def run(self) -> torch.nn.Module:
        """Train, and resume before that if there is a checkpoint."""
        self._loss_guard = NonFiniteLossGuard(self.runner)
        with handle_signals():
            check_validation(self.runner)
            self._report_if_done()
            self.runner.call_hook('before_train')
            self._restore_random_states()
            if self._validation_is_pending():
                self._validate_if_due()
            self._train()
            self._save_if_stopped_early()
            self.runner.call_hook('after_train')
        return self.runner.model

    def run_iter(self, idx: int, data_batch: dict[str, Any]) -> None:
        """Train on a batch; all processes log the mean loss and stop together.

        Args:
            idx (int): The index of the batch.
            data_batch (dict): The batch from the data loader.
        """
        self.runner.call_hook('before_train_iter', batch_idx=idx, data_batch=data_batch)
        with explain_errors(self.runner.model):
            outputs = self._loss_guard.train_step(data_batch)
        self._stopping = pending_signal() is not None
        if get_world_size() > 1:
            device = next(self.runner.model.parameters()).device
            stopping = torch.tensor([float(self._stopping)], device=device)
            outputs = dict(outputs, stopping=stopping)
            all_reduce_dict(outputs, op='mean')
            self._stopping = bool(outputs.pop('stopping'))
        self.runner.call_hook(
            'after_train_iter', batch_idx=idx, data_batch=data_batch, outputs=outputs
        )
        self._iter += 1

    def _report_if_done(self) -> None:
        done, last = self._progress()
        if done >= last:
            self.runner.logger.warning(
                f'nothing is left to train: the checkpoint has {done} of {last} '
                'iterations or epochs. To continue, raise the number in train_cfg; the '
                'learning rate then stays at its last value. For another schedule, '
                'start a new training with the checkpoint as load_from.'
            )

    def _restore_random_states(self) -> None:
        states, processes = self._start.random_states, get_world_size()
        if len(states) == processes:
            set_rng_state(states[get_rank()])
        elif self._start.iterations:
            self.runner.logger.warning(
                f'the checkpoint has the random states of {len(states)} processes, but '
                f'{processes} train: random numbers, such as those of dropout, will '
                'differ from a run without the interruption'
            )

    def _validation_is_pending(self) -> bool:
        """Whether training was interrupted before or during a validation."""
        return not self._start.validated

    def _validate_if_due(self) -> None:
        self._decide_current_val_interval()
        done, last = self._progress()
        if self.runner.val_loop is None or done < self.val_begin:
            return
        if done % self.val_interval == 0 or done == last:
            with preserve_rng_state():
                try:
                    self.runner.val_loop.run()
                except RuntimeError as error:
                    hook = get_checkpoint_hook(self.runner)
                    if hook and was_peer_signalled(error):
                        hook.stop_validation(self.runner)
                    raise

    def _save_if_stopped_early(self) -> None:
        """Save the last weights: CheckpointHook expects the last iteration for that."""
        hook = get_checkpoint_hook(self.runner)
        if self.stop_training and hook and hook.save_last:
            hook.save_now(self.runner)

    def _stop_if_signalled(self) -> None:
        if self._stopping:
            hook = get_checkpoint_hook(self.runner)
            raise_interrupted(self._iter, hook.save_now(self.runner) if hook else None)


@LOOPS.register_module()
class ResumableEpochBasedTrainLoop(_ResumableLoop, EpochBasedTrainLoop):
    """EpochBasedTrainLoop of mmengine that resumes exactly, also within an epoch."""

    _first: int  # index of the batch of the epoch to continue with
    _begin: int  # number of iterations before the epoch

    def run_epoch(self) -> None:
        """Train for an epoch, or for the rest of it after resuming."""
        self.runner.call_hook('before_train_epoch')
        self.runner.model.train()
        first, self._first = self._first, 0
        self._begin = self._iter - first
        for index, batch in enumerate(iter_preserving_rng(self.dataloader), first):
            self.run_iter(index, batch)
            if index + 1 != len(self.dataloader):
                self._stop_if_signalled()
        self.runner.call_hook('after_train_epoch')
        self._epoch += 1

    def _train(self) -> None:
        while self._epoch < self._max_epochs and not self.stop_training:
            self.run_epoch()
            self._stop_if_signalled()
            self._validate_if_due()

    def epoch_state(self, iterations: int) -> dict[str, int]:
        """Return the position in the epoch after a number of iterations."""
        batches = len(self.dataloader)
        return dict(batch=iterations - self._begin, batches=batches)

    def _progress(self) -> tuple[int, int]:
        return self._epoch, self._max_epochs

    def _validation_is_pending(self) -> bool:
        return super()._validation_is_pending() and not self._first

    def _seek(self, loader: DataLoader[Any], start: ResumeState) -> None:
        if start.batches is None:  # not saved by this package
            batch = start.iterations - start.epochs * len(loader)
        else:  # if the number of batches has changed, the epoch starts again
            batch = start.batch if start.batches == len(loader) else 0
        self._first = batch if 0 < batch < len(loader) else 0
        _skip(loader, self._first)


@LOOPS.register_module()
class ResumableIterBasedTrainLoop(_ResumableLoop, IterBasedTrainLoop):
    """IterBasedTrainLoop of mmengine that resumes exactly.

    It skips the samples used before the interruption without reading them.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._epochs_done = 0
        super().__init__(*args, **kwargs)
        self.dataloader_iterator._epoch = self._epochs_done

    def _train(self) -> None:
        self.runner.call_hook('before_train_epoch')
        batches = iter_preserving_rng(self.dataloader_iterator)
        while self._iter < self._max_iters and not self.stop_training:
            self.runner.model.train()
            self.run_iter(self._iter, next(batches))
            self._stop_if_signalled()
            self._validate_if_due()
        self.runner.call_hook('after_train_epoch')

    def _progress(self) -> tuple[int, int]:
        return self._iter, self._max_iters

    def _seek(self, loader: DataLoader[Any], start: ResumeState) -> None:
        batch_sampler: Any = loader.batch_sampler
        batches, sampler = start.iterations, batch_sampler.sampler
        if not isinstance(sampler.sampler, InfiniteSampler):
            self._epochs_done, batches = divmod(batches, len(loader))
            sampler.set_epoch(self._epochs_done)
        _skip(loader, batches)


def _build_indexed_loader(runner: Runner, loader: dict[str, Any]) -> DataLoader[Any]:
    """Build a data loader with IndexedSampler and SeededDataset."""
    loader = dict(
        loader,
        dataset=dict(type='SeededDataset', dataset=loader['dataset'], seed=runner.seed),
        sampler=dict(type='IndexedSampler', sampler=loader['sampler']),
    )
    differ = runner._randomness_cfg.get('diff_rank_seed', False)
    return runner.build_dataloader(loader, seed=runner.seed, diff_rank_seed=differ)


def _skip(loader: DataLoader[Any], batches: int) -> None:
    batch_sampler: Any = loader.batch_sampler
    batch_sampler.sampler.skip = batches * batch_sampler.batch_size
