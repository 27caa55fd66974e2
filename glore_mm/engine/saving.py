"""Checkpoints that are whole or not there, and the newest of them to go on from."""

import json
import os
import os.path as osp
import re
from contextlib import suppress
from typing import Any

from mmengine.dist import barrier, is_main_process, master_only
from mmengine.hooks import CheckpointHook
from mmengine.registry import HOOKS
from mmengine.runner import Runner

from glore_mm.checkpoints import read_checkpoint
from glore_mm.engine.randomness import all_random_states
from glore_mm.engine.reporting import write_text
from glore_mm.engine.stopping import asked_by, stop
from glore_mm.errors import UserError

_POINTER = 'last_checkpoint'
_LEDGER = '.written.json'  # which checkpoints of a folder are ours
_DRAFT = re.compile(rf'(.+\.pth|{_POINTER}|{re.escape(_LEDGER)})\.\d+\.part')


def newest_checkpoint(folder: str) -> tuple[str, dict[str, Any], list[str]]:
    """Find the newest checkpoint to resume from that reads back whole.

    Args:
        folder (str): Work dir of a run.

    Returns:
        tuple[str, dict, list[str]]: Its path, its content, and for each newer one why
        it was passed over.

    Raises:
        UserError: There is none.
    """
    passed = []
    for path in _checkpoints(folder):
        try:
            content = read_checkpoint(path)
            check_resumable(content, path)
        except UserError as error:
            passed.append(str(error))
        else:
            return path, content, passed
    tried = f' Passed over: {" ".join(passed)}' if passed else ''
    raise UserError(
        f'--resume: {folder} holds no checkpoint to go on from. Train without '
        f'--resume, or give the --work-dir of the run to go on with.{tried}'
    )


def has_checkpoints(folder: str) -> bool:
    """Whether a run has left checkpoints in its work dir, whole or not."""
    return bool(_checkpoints(folder))


def _checkpoints(folder: str) -> list[str]:
    """Those that a run saved to go on from, the newest first."""
    found = [osp.join(folder, name) for name in _names(folder)]
    pointer = osp.join(folder, _POINTER)  # which can lead to another folder
    with suppress(OSError, UnicodeDecodeError), open(pointer) as file:
        found.append(file.read().strip())
    found = [
        path
        for path in {osp.abspath(path): path for path in found}.values()
        if path.endswith('.pth')
        and not osp.basename(path).startswith('best_')
        and osp.lexists(path)
    ]
    return sorted(found, key=lambda path: os.lstat(path).st_mtime_ns, reverse=True)


def check_resumable(content: dict[str, Any], path: str) -> None:
    """Make sure that training can go on from a checkpoint.

    Raises:
        UserError: It lacks something, or holds a config text, which mmengine would run.
    """
    meta = content.get('meta')
    if isinstance(meta, dict) and 'config' in meta:
        raise UserError(
            f'{path} was not resumed: its meta.config holds a text that mmengine would '
            'run as Python. To train on from its weights alone give it as load_from.'
        )
    places = [meta.get(key) for key in ('epoch', 'iter')] if meta else [None]
    lacking = [key for key in ('message_hub', 'optimizer') if key not in content]
    if lacking or not all(type(place) is int and place >= 0 for place in places):
        raise UserError(
            f'{path} cannot be resumed: it lacks {lacking[0] if lacking else "meta"}, '
            'which a training needs that goes on. To train on from its weights alone '
            'give it as load_from.'
        )


@HOOKS.register_module()
class WholeCheckpoints(CheckpointHook):
    """mmengine's CheckpointHook that loses nothing, whenever a run ends.

    An older checkpoint goes when the newer one is on the disk, and only if this run, or
    what it resumes, wrote it; `last_checkpoint` moves in between. What a checkpoint
    holds more are the random states of all processes, and whether what it holds was
    validated. The arguments are those of CheckpointHook, for local folders.
    """

    def before_train(self, runner: Runner) -> None:
        """Find the folder, and what in it is ours."""
        # by which a stranger's checkpoint could have files deleted
        runner.message_hub.runtime_info.pop('keep_ckpt_ids', None)
        super().before_train(runner)
        resumed = runner.start.iterations > 0
        if resumed:
            self.last_ckpt = runner.resumed_from
        self._saved_at = runner.start.iterations
        self._own = self.file_backend = _OwnFiles(self.out_dir, resumed)
        self._before_val: list[dict[str, Any]] | None = None
        _remove_drafts(self.out_dir)

    def before_val(self, runner: Runner) -> None:
        """Note the random states that training will go on with."""
        self._before_val = all_random_states()

    def after_val_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: dict[str, Any] | None = None,
        outputs: list[Any] | None = None,
    ) -> None:
        """Stop where that is asked for; the first process saves what was trained."""
        if asked_by() and self._before_val:
            stop(runner.iter, self._save_trained(runner))

    def after_val(self, runner: Runner) -> None:
        """Forget them."""
        self._before_val = None

    def before_save_checkpoint(
        self, runner: Runner, checkpoint: dict[str, Any]
    ) -> None:
        """Add what an exact resume needs."""
        if 'optimizer' in checkpoint:
            checkpoint['random_states'] = self._random_states

    def save_now(self, runner: Runner) -> str:
        """Save what was trained, unless it is saved; all processes have to come here.

        Returns:
            str: The checkpoint.
        """
        path = self._save_trained(runner)
        barrier()  # a process that ends could take the one that writes with it
        return path

    def _save_trained(self, runner: Runner) -> str:
        if self._saved_at != runner.iter:
            name = f'iter_{runner.iter}.pth'
            if self.by_epoch:
                name = f'epoch_{runner.epoch}_{name}'
            meta = dict(epoch=runner.epoch, iter=runner.iter)
            self._write(runner, name, meta, save_optimizer=True)
        return self.last_ckpt

    def _save_checkpoint_with_step(
        self, runner: Runner, step: int, meta: dict[str, Any]
    ) -> None:
        name = self.filename_tmpl.format(step)
        self._write(runner, name, meta, self.save_optimizer)

    def _write(
        self, runner: Runner, name: str, meta: dict[str, Any], save_optimizer: bool
    ) -> None:
        path = osp.join(self.out_dir, name)
        self._random_states = self._before_val or all_random_states()
        runner.message_hub.update_info('last_ckpt', path)
        runner.save_checkpoint(
            self.out_dir,
            name,
            save_optimizer=save_optimizer,
            save_param_scheduler=self.save_param_scheduler,
            meta=dict(meta, validated=self._before_val is not None),
            by_epoch=self.by_epoch,
            **self.args,
        )
        self.last_ckpt, self._saved_at = path, meta['iter']
        if is_main_process():
            write_text(osp.join(runner.work_dir, _POINTER), path)
            self._own.add(path)
            self._own.remove_surplus(self.max_keep_ckpts)

    def _save_best_checkpoint(self, runner: Runner, metrics: dict[str, Any]) -> None:
        before = {path: _state_of(path) for path in self._best()}
        super()._save_best_checkpoint(runner, metrics)
        if is_main_process():
            for path in self._best():
                if _state_of(path) != before.get(path):
                    self._own.add(path)
            self._own.remove_outdated()

    def _best(self) -> set[str]:
        several = getattr(self, 'best_ckpt_path_dict', None)
        paths = several.values() if several else [getattr(self, 'best_ckpt_path', None)]
        return set(filter(None, paths))


class _OwnFiles:
    """The checkpoints in a folder that a run wrote.

    CheckpointHook has it as its file backend: so it sees no others, and what it has
    removed goes when the newer file is there.

    Args:
        folder (str): Where they are.
        resumed (bool): Whether those of an earlier run in this folder are this run's.
    """

    def __init__(self, folder: str, resumed: bool) -> None:
        self._folder = folder
        self._outdated: list[str] = []
        self._written: dict[str, list[int] | None] = {}  # the oldest first: size, time
        self._ledger = osp.join(folder, _LEDGER)
        if resumed:
            with suppress(OSError, ValueError, TypeError), open(self._ledger) as file:
                self._written = dict(json.load(file))

    def join_path(self, *parts: str) -> str:
        return osp.join(*parts)

    def isfile(self, path: str) -> bool:
        """Whether a file is there and ours, as it was written."""
        here = osp.dirname(osp.abspath(path)) == osp.abspath(self._folder)
        noted = self._written.get(osp.basename(path))
        return here and noted is not None and noted == _state_of(path)

    def isdir(self, path: str) -> bool:
        return False

    def remove(self, path: str) -> None:
        self._outdated.append(path)

    def add(self, path: str) -> None:
        """Note a file that was written."""
        name = osp.basename(path)
        self._outdated = [each for each in self._outdated if each != path]
        self._written.pop(name, None)
        self._written[name] = _state_of(path)
        write_text(self._ledger, json.dumps(list(self._written.items())))

    def remove_surplus(self, keep: int) -> None:
        """Remove the oldest, but for the best, of more than so many; -1 keeps all."""
        names = [name for name in self._written if not name.startswith('best_')]
        if keep > 0:
            self._outdated += [osp.join(self._folder, name) for name in names[:-keep]]
        self.remove_outdated()

    def remove_outdated(self) -> None:
        """Remove what has been replaced."""
        for path in self._outdated:
            if self.isfile(path):
                os.remove(path)
            self._written.pop(osp.basename(path), None)
        self._outdated = []


def _state_of(path: str) -> list[int] | None:
    try:
        found = os.lstat(path)
    except OSError:
        return None
    return [found.st_size, found.st_mtime_ns]


def _names(folder: str) -> list[str]:
    try:
        return os.listdir(folder)
    except OSError:
        return []


@master_only
def _remove_drafts(folder: str) -> None:
    """Remove the files that a killed run was about to write."""
    for name in _names(folder):
        if _DRAFT.fullmatch(name):
            with suppress(OSError):
                os.remove(osp.join(folder, name))


def saver_of(runner: Runner) -> WholeCheckpoints | None:
    """The hook of a runner that saves its checkpoints."""
    return next((h for h in runner.hooks if isinstance(h, WholeCheckpoints)), None)
