"""Runners with a quiet set-up and exact resuming."""

import logging
import os
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from traceback import walk_tb
from typing import Any

from filelock import FileLock, Timeout
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.logging import MMLogger
from mmengine.optim import OptimWrapper
from mmengine.runner import BaseLoop, Runner
from torch.optim import Optimizer
from torch.utils.data import DataLoader

from glore_mm.config.build import config_key_context, part_context
from glore_mm.engine.compile import compile_parts
from glore_mm.engine.resume import ResumeState
from glore_mm.engine.signals import protect_workers
from glore_mm.utils.atomic_write import make_dir
from glore_mm.utils.distributed import is_main_process
from glore_mm.utils.errors import UserError, error_message

_RESUME_ADVICE = (
    'Resume with the previous optimizer, or start from the weights alone: load_from '
    'without resume.'
)
# Messages that mmengine logs at the start of every run, whatever the config.
_NOISE = (
    'The prefix is not set',
    '"FileClient" will be',
    '"HardDiskBackend" is',
    'paramwise_options',  # one line for each parameter
)


class QuietRunner(Runner):
    """A Runner that logs the environment and the config only to the log file."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._levels: dict[logging.Handler, int] = {}
        super().__init__(*args, **kwargs)
        for handler, level in self._levels.items():
            handler.setLevel(level)

    def build_logger(self, *args: Any, **kwargs: Any) -> MMLogger:
        """Build the logger; until the end of set-up the console shows only warnings."""
        logger = super().build_logger(*args, **kwargs)
        for handler in logger.handlers:
            if not isinstance(handler, logging.FileHandler):
                self._levels[handler] = handler.level
                handler.setLevel(max(handler.level, logging.WARNING))
                handler.addFilter(lambda r: not r.getMessage().startswith(_NOISE))
        return logger

    def dump_config(self) -> None:
        """Write the config beside the log; that of a training stays in the work dir."""
        name = os.path.basename(self.cfg.filename or 'config.py')
        self.cfg.dump(os.path.join(self.log_dir, name))

    @staticmethod
    def build_dataloader(
        dataloader: dict[str, Any] | DataLoader[Any], *args: Any, **kwargs: Any
    ) -> DataLoader[Any]:
        """Build a data loader; an error names its config key."""
        with part_context(dataloader):
            return Runner.build_dataloader(dataloader, *args, **kwargs)


class ResumableRunner(QuietRunner):
    """A Runner that resumes an interrupted training exactly.

    It replaces the training loops of mmengine by those of `engine.loops`, which wrap
    the data set and the sampler, and CheckpointHook by AtomicCheckpointHook.

    Attributes:
        resume_state (ResumeState): Where training begins.
    """

    resume_state = ResumeState()

    def dump_config(self) -> None:
        """Write the config to the work dir, for tests and inference."""
        Runner.dump_config(self)

    def build_train_loop(self, loop: dict[str, Any]) -> BaseLoop:
        """Build the training loop; loops of mmengine are replaced by resumable ones."""
        kinds = {
            'EpochBasedTrainLoop': 'ResumableEpochBasedTrainLoop',
            'IterBasedTrainLoop': 'ResumableIterBasedTrainLoop',
        }
        loop = dict(loop)
        if 'by_epoch' in loop:
            by_epoch = loop.pop('by_epoch')
            loop['type'] = f'{"Epoch" if by_epoch else "Iter"}BasedTrainLoop'
        kind = _replaced(loop.get('type'), kinds)
        return super().build_train_loop(dict(loop, type=kind))

    @staticmethod
    def build_dataloader(
        dataloader: dict[str, Any] | DataLoader[Any], *args: Any, **kwargs: Any
    ) -> DataLoader[Any]:
        """Build a data loader whose workers ignore the signals that stop a training."""
        loader = QuietRunner.build_dataloader(dataloader, *args, **kwargs)
        if loader is not dataloader:
            protect_workers(loader)
        return loader

    def register_hook(
        self, hook: Hook | dict[str, Any], *args: Any, **kwargs: Any
    ) -> None:
        """Register a hook; CheckpointHook is replaced by AtomicCheckpointHook."""
        remote_args = ('file_client_args', 'backend_args')  # storage other than a disk
        has_type = isinstance(hook, dict) and 'type' in hook
        if has_type and not any(hook.get(key) for key in remote_args):
            kind = _replaced(hook['type'], dict(CheckpointHook='AtomicCheckpointHook'))
            hook = dict(hook, type=kind)
        super().register_hook(hook, *args, **kwargs)

    def scale_lr(
        self, optim_wrapper: OptimWrapper, auto_scale_lr: dict[str, Any] | None = None
    ) -> None:
        """Scale the learning rate by the number of samples of an update.

        mmengine counts the samples of one iteration, also where the gradients of
        several iterations are accumulated.
        """
        counts = getattr(optim_wrapper, '_accumulative_counts', 1)
        if counts > 1 and auto_scale_lr and auto_scale_lr.get('enable'):
            base = auto_scale_lr['base_batch_size']
            self.logger.info(
                f'{counts} iterations make an update: its batch size of {base} is '
                f'{base / counts:g} in an iteration.'
            )
            auto_scale_lr = dict(auto_scale_lr, base_batch_size=base / counts)
        super().scale_lr(optim_wrapper, auto_scale_lr)

    def load_or_resume(self) -> None:
        """Load the checkpoint to resume from.

        Raises:
            UserError: The checkpoint was saved with another type of optimizer, or with
                other parameter groups.
        """
        given = self._schedules()
        try:
            super().load_or_resume()
        except (KeyError, ValueError) as error:
            frames = [frame for frame, _ in walk_tb(error.__traceback__)]
            owners = [frame.f_locals.get('self') for frame in frames]
            optimizer = next((o for o in owners if isinstance(o, Optimizer)), None)
            if optimizer is None:
                raise
            raise UserError(
                f'{self._load_from} was saved by another optimizer than '
                f'{type(optimizer).__name__}, or with other parameter groups: '
                f'{error_message(error)}. {_RESUME_ADVICE}'
            ) from error
        optimizer = getattr(self.optim_wrapper, 'optimizer', None)
        if optimizer is None:
            return
        for group in optimizer.param_groups:
            if missing := sorted({*optimizer.defaults} - {*group}):
                raise UserError(
                    f'{self._load_from} was saved by another optimizer than '
                    f'{type(optimizer).__name__}: it has no {", ".join(missing)}. '
                    f'{_RESUME_ADVICE}'
                )
        if self._schedules() != given:
            self.logger.warning(
                'the checkpoint has another param_scheduler or learning rate than the '
                'config, and training follows the checkpoint. To follow the config, '
                'start a new training with the checkpoint as load_from.'
            )

    def _schedules(self) -> list[dict[str, Any]]:
        """Return the settings of the schedulers, without how far they are."""
        progress = ('last_step', '_global_step', '_last_value')
        schedulers = self.param_schedulers
        return [
            {k: v for k, v in each.state_dict().items() if k not in progress}
            for each in (schedulers if isinstance(schedulers, list) else [])
            if hasattr(each, 'state_dict')
        ]

    def save_checkpoint(self, *args: Any, **kwargs: Any) -> None:
        """Save a checkpoint.

        Raises:
            UserError: The checkpoint cannot be written.
        """
        try:
            super().save_checkpoint(*args, **kwargs)
        except UserError as error:
            raise UserError(
                f'{str(error).rstrip(".")}. Training stopped; the checkpoints that '
                'were written before are complete: continue with --resume.'
            ) from error


def build_runner(kind: type[Runner], cfg: Config, compiled: bool) -> Runner:
    """Build a Runner from a config; an error names the config key of the faulty part.

    Args:
        kind (type[Runner]): The class of the Runner.
        cfg (Config): The config.
        compiled (bool): Whether to compile the network with `torch.compile`.

    Raises:
        UserError: A part cannot be built.
    """
    with config_key_context(cfg, ''):
        runner = kind.from_cfg(cfg)
    if compiled:
        compile_parts(runner.model)
    return runner


@contextmanager
def work_dir_lock(work_dir: str) -> Iterator[None]:
    """Lock a work dir against a second run.

    A run can continue unnoticed, for example after its launcher was killed.

    Raises:
        UserError: Another run is training in the work dir.
    """
    with ExitStack() as stack:
        if is_main_process():
            make_dir(work_dir)
            path = os.path.join(work_dir, '.training.lock')
            # is_singleton: a run of an ablation takes the lock a second time
            lock = FileLock(path, timeout=0, is_singleton=True)
            try:
                stack.enter_context(lock)
            except Timeout as error:
                raise UserError(
                    f'another process is training in {work_dir}. End it first, or give '
                    'another --work-dir.'
                ) from error
            except (OSError, NotImplementedError):  # file systems without locks
                pass
        yield


def shutdown_workers(runner: Runner) -> None:
    """End the workers of the data loaders.

    Otherwise the garbage collector would wait 5 s for each persistent worker.
    """
    for loop in (runner._train_loop, runner._val_loop, runner._test_loop):
        if not isinstance(loop, BaseLoop):  # not built
            continue
        for iterator in (
            getattr(loop.dataloader, '_iterator', None),
            getattr(getattr(loop, 'dataloader_iterator', None), '_iterator', None),
        ):
            if end := getattr(iterator, '_shutdown_workers', None):
                end()


def _replaced(kind: str | type | None, kinds: Mapping[str, str]) -> str | type | None:
    """Return the replacement of a type, which is given by name or as a class."""
    return kinds.get(str(getattr(kind, '__name__', kind)), kind)
