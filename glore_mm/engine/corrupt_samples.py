"""Skip unreadable samples in training; raise an error in a test."""

from typing import Any

from mmengine.dataset import BaseDataset
from mmengine.dist import all_gather_object, get_world_size
from mmengine.hooks import Hook
from mmengine.logging import MMLogger
from mmengine.registry import HOOKS
from mmengine.runner import EpochBasedTrainLoop, Runner

from glore_mm.utils.errors import UnreadableSampleError, UserError

_MAX_SKIPPED = 100  # unusable samples in a row after which training stops


class SkipCorruptMixin(BaseDataset):
    """A data set that skips samples whose file cannot be used.

    The metainfo of a sample has the path of its file as `filename`. In training, a
    sample that raises UnreadableSampleError is replaced by another one, whose metainfo
    has the paths and reasons of the replaced samples as `skipped`. In test mode the
    sample is an error.
    """

    path_key: str  # the key of a sample's file in its data info
    what = 'samples'  # for messages: what the samples are
    place = 'the data set'  # for messages: where to remove a sample from

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._skipped: dict[int, tuple[str, str]] = {}
        self.left_out: list[str] = []  # what was left out while listing the samples
        super().__init__(*args, **kwargs)

    def report_left_out(self, problem: str) -> None:
        """Report files or rows that are no samples; `check_data` reports them, too."""
        self.left_out.append(problem)
        MMLogger.get_current_instance().warning(f'left out: {problem}')

    def report_empty(self, problem: str) -> None:
        """Report class folders without files: a warning in training.

        Raises:
            UserError: This is a test.
        """
        if self.test_mode:
            raise UserError(f'{problem}. Fill or remove the empty folders.')
        logger = MMLogger.get_current_instance()
        logger.warning(f'left out of training: {problem}')

    def prepare_data(self, idx: int) -> dict[str, Any] | None:
        """Run the pipeline on a sample; None makes the data set try another sample.

        Raises:
            UserError: A sample of a test cannot be used, or too many samples of a
                training in a row.
        """
        info = self.get_data_info(idx)
        path = info[self.path_key]
        try:
            data = self.pipeline(info)
        except UnreadableSampleError as error:
            # a UserError, because cli_entry_point recognises it from a worker
            message = error.with_removal_advice(self.place)
            if self.test_mode:
                raise UserError(message) from None
            self._skipped[idx] = path, message
            if len(self._skipped) >= min(len(self), _MAX_SKIPPED):
                reasons = [reason for _, reason in self._skipped.values()]
                raise UserError(
                    f'{self.source}: {len(reasons)} {self.what} in a row cannot be '
                    f'used, among them: {" ".join(reasons[:3])}'
                ) from None
            return None
        if data and 'data_samples' in data:
            metainfo = dict(filename=path)
            if self._skipped:
                metainfo['skipped'] = list(self._skipped.values())
                self._skipped = {}
            samples = data['data_samples']
            # with test-time augmentation, `data_samples` has one of each view
            for sample in samples if isinstance(samples, list) else [samples]:
                sample.set_metainfo(metainfo)
        return data

    @property
    def source(self) -> str:
        """The annotation file or folder that lists the samples."""
        return self.ann_file

    def _rand_another(self) -> int:
        while (idx := super()._rand_another()) in self._skipped:
            pass
        return idx


@HOOKS.register_module()
class SkippedSamplesHook(Hook):
    """Log the samples that training skips: each file once, and the number per epoch.

    Args:
        interval (int): Iterations after which several processes exchange their skipped
            samples. Default: 50.
    """

    def __init__(self, interval: int = 50) -> None:
        self.interval = interval
        self._new: dict[str, str] = {}  # reasons by path
        self._reported: set[str] = set()
        self._in_epoch: set[str] = set()

    def after_train_iter(self, runner: Runner, data_batch: Any, **_: Any) -> None:
        """Collect the samples that were skipped while loading a batch."""
        for sample in data_batch['data_samples']:
            self._new.update(sample.get('skipped', ()))
        # a collective call: all processes make it in the same iterations
        if get_world_size() == 1 or self.every_n_train_iters(runner, self.interval):
            self._report(runner)

    def after_train_epoch(self, runner: Runner) -> None:
        """Log the number of skipped files; training by iterations has one epoch."""
        self._report(runner)
        if self._in_epoch:
            by_epoch = isinstance(runner.train_loop, EpochBasedTrainLoop)
            when = f'epoch {runner.epoch + 1}' if by_epoch else 'training'
            runner.logger.warning(f'{when} left out {len(self._in_epoch)} sample(s)')
        self._in_epoch = set()

    def _report(self, runner: Runner) -> None:
        for found in all_gather_object(self._new):
            self._in_epoch.update(found)
            for path, reason in found.items():
                if path not in self._reported:
                    self._reported.add(path)
                    runner.logger.warning(f'left out of training: {reason}')
        self._new = {}
