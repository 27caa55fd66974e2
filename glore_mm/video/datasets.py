"""Lists of clips, checked before training, and training that survives bad clips."""

from collections.abc import Sequence
from os import path as osp

from mmaction.datasets import BaseActionDataset
from mmaction.registry import DATASETS, HOOKS
from mmengine import fileio
from mmengine.dist import all_gather_object, get_world_size
from mmengine.hooks import Hook
from mmengine.runner import EpochBasedTrainLoop, Runner

from glore_mm.datasets.kinetics_list import kinetics400_classes
from glore_mm.errors import UserError
from glore_mm.video.readers import UnreadableClip

_PATIENCE = 100  # clips in a row that cannot be used before training gives up


class ListedClips(BaseActionDataset):
    """Clips that a text file lists: a path, which may hold spaces, and numbers.

    A sample's metainfo has its path, `filename`. In training another clip takes the
    place of one that cannot be used, and the next sample tells: its metainfo `skipped`
    lists path and reason of each. In test mode a clip that cannot be used is an error.

    Args:
        ann_file (str): The list.
        pipeline (list): The transforms.
        classes (str | Sequence[str]): 'kinetics400', the names, or a text file with one
            a line, relative to `data_root`. Default: 'kinetics400'.
        data_root (str): What `ann_file`, `classes` and `data_prefix` are relative to.
        data_prefix (dict, optional): `video`, or `img` for folders of images: what the
            paths are relative to. Default: `data_root`.
        kwargs: As for mmaction2's BaseActionDataset.

    Raises:
        UserError: The list or the file of classes cannot be read, or a line is wrong.
    """

    prefix_key: str  # of data_prefix
    path_key: str  # of a sample
    numbers: tuple[str, ...]  # that follow the path

    def __init__(
        self,
        ann_file: str,
        pipeline: list,
        classes: str | Sequence[str] = 'kinetics400',
        data_root: str = '',
        data_prefix: dict[str, str] | None = None,
        **kwargs,
    ) -> None:
        names = _class_names(classes, data_root)
        self._skipped: dict[int, tuple[str, str]] = {}
        super().__init__(
            ann_file,
            pipeline,
            data_root=data_root,
            data_prefix=data_prefix or {self.prefix_key: ''},
            metainfo=dict(classes=names),
            num_classes=len(names),
            **kwargs,
        )

    def load_data_list(self) -> list[dict]:
        """The clips in the order of the list.

        Raises:
            UserError: The list is missing or empty, or a line is wrong.
        """
        lines = _lines(self.ann_file, 'list of clips')
        if not lines:
            raise UserError(
                f'{self.ann_file} is empty; expected one clip a line: {self._layout}'
            )
        return [self._clip(number, line) for number, line in lines]

    def prepare_data(self, idx: int) -> dict | None:
        """Run the pipeline on a clip; None asks for another one in its place.

        Raises:
            UserError: The clip cannot be used and this is a test, or training has found
                no clip that it could use.
        """
        clip = self.get_data_info(idx)
        path = clip[self.path_key]
        try:
            data = self.pipeline(clip)
        except UnreadableClip as error:
            # the class that plain_errors looks for in what a worker reports
            if self.test_mode:
                raise UserError(error.listed) from None
            self._skipped[idx] = path, error.listed
            if len(self._skipped) >= min(len(self), _PATIENCE):
                reasons = [reason for _, reason in self._skipped.values()]
                raise UserError(
                    f'{self.ann_file}: {len(reasons)} clips in a row cannot be used, '
                    f'among them: {" ".join(reasons[:3])}'
                ) from None
            return None
        if data and 'data_samples' in data:
            told = dict(filename=path)
            if self._skipped:
                told['skipped'] = list(self._skipped.values())
                self._skipped = {}
            data['data_samples'].set_metainfo(told)
        return data

    def _rand_another(self) -> int:
        while (idx := super()._rand_another()) in self._skipped:
            pass
        return idx

    @property
    def _layout(self) -> str:
        return ' '.join(('path', *self.numbers))

    def _clip(self, number: int, line: str) -> dict:
        where = f'{self.ann_file}, line {number}'
        path, *fields = line.rsplit(maxsplit=len(self.numbers))
        try:
            clip = dict(zip(self.numbers, map(int, fields), strict=True))
        except ValueError:
            raise UserError(
                f'{where}: {line!r}; expected {self._layout}, the '
                f'{" and the ".join(self.numbers)} in digits'
            ) from None
        if not 0 <= clip['label'] < self.num_classes:
            raise UserError(
                f'{where}: label {clip["label"]}; the classes are 0 to '
                f'{self.num_classes - 1}. Correct the list, or the classes of the data '
                'set in the config.'
            )
        if clip.get('total_frames', 1) < 1:
            raise UserError(
                f'{where}: total_frames {clip["total_frames"]}; expected at least 1'
            )
        clip[self.path_key] = osp.join(self.data_prefix[self.prefix_key], path)
        return clip


@DATASETS.register_module()
class KineticsVideos(ListedClips):
    """Video files, listed as `path label`; the arguments are those of ListedClips."""

    prefix_key = 'video'
    path_key = 'filename'
    numbers = ('label',)


@DATASETS.register_module()
class KineticsFrames(ListedClips):
    """Folders of images, listed as `path total_frames label`.

    Args:
        filename_tmpl (str): Name of an image. Default: 'img_{:05}.jpg'.
        start_index (int): Number of the first image. Default: 1.
        args, kwargs: As for ListedClips.
    """

    prefix_key = 'img'
    path_key = 'frame_dir'
    numbers = ('total_frames', 'label')

    def __init__(
        self,
        *args,
        filename_tmpl: str = 'img_{:05}.jpg',
        start_index: int = 1,
        **kwargs,
    ) -> None:
        self.filename_tmpl = filename_tmpl
        super().__init__(*args, start_index=start_index, **kwargs)

    def get_data_info(self, idx: int) -> dict:
        """What the pipeline gets for a clip."""
        return dict(super().get_data_info(idx), filename_tmpl=self.filename_tmpl)


@HOOKS.register_module()
class SkippedClips(Hook):
    """Say which clips training goes on without: each once, and how many in an epoch.

    Args:
        interval (int): After how many iterations several processes tell each other.
            Default: 50.
    """

    def __init__(self, interval: int = 50) -> None:
        self.interval = interval
        self._new: dict[str, str] = {}  # reasons by path
        self._reported: set[str] = set()
        self._in_epoch: set[str] = set()

    def after_train_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: dict | None = None,
        outputs: dict | None = None,
    ) -> None:
        """Collect what the samples of a batch tell."""
        for sample in data_batch['data_samples']:
            self._new.update(sample.get('skipped', ()))
        # all processes come here equally often
        if get_world_size() == 1 or self.every_n_train_iters(runner, self.interval):
            self._report(runner)

    def after_train_epoch(self, runner: Runner) -> None:
        """Log how many clips were left out; training by iterations is one epoch."""
        self._report(runner)
        if self._in_epoch:
            by_epoch = isinstance(runner.train_loop, EpochBasedTrainLoop)
            when = f'epoch {runner.epoch + 1}' if by_epoch else 'training'
            runner.logger.warning(f'{when} left out {len(self._in_epoch)} clip(s)')
        self._in_epoch = set()

    def _report(self, runner: Runner) -> None:
        for found in all_gather_object(self._new):
            self._in_epoch.update(found)
            for path, reason in found.items():
                if path not in self._reported:
                    self._reported.add(path)
                    runner.logger.warning(f'left out of training: {reason}')
        self._new = {}


def _class_names(classes: str | Sequence[str], data_root: str) -> tuple[str, ...]:
    if classes == 'kinetics400':
        return kinetics400_classes()
    if isinstance(classes, str):
        path = osp.join(data_root, classes)
        classes = [line for _, line in _lines(path, 'file of classes')]
        if not classes:
            raise UserError(f'{path} is empty; expected one class a line')
    return tuple(classes)


def _lines(path: str, what: str) -> list[tuple[int, str]]:
    """The lines of a text file that are not blank, with their numbers."""
    try:
        text = fileio.get_text(path, encoding='utf-8-sig')
    except UnicodeDecodeError as error:
        raise UserError(f'{path}, the {what}, is not UTF-8 text: {error}') from error
    except OSError as error:
        raise UserError(
            f'no {what} at {path}: {error.strerror}. Put it there, or correct '
            'data_root or its name in the config.'
        ) from error
    lines = [line.strip() for line in text.split('\n')]
    return [(number, line) for number, line in enumerate(lines, 1) if line]
