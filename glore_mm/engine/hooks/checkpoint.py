"""A CheckpointHook that writes atomically and saves random states."""

import json
import os
import os.path as osp
import re
from contextlib import suppress
from typing import Any, NoReturn

from mmengine.dist import barrier, is_main_process, master_only
from mmengine.hooks import CheckpointHook, EMAHook
from mmengine.registry import HOOKS
from mmengine.runner import Runner

from glore_mm.engine.determinism import gather_rng_states
from glore_mm.engine.resume import LAST_CHECKPOINT, MANIFEST, read_manifest
from glore_mm.engine.signals import pending_signal, raise_interrupted
from glore_mm.utils.atomic_write import write_text
from glore_mm.utils.paths import list_names

_DRAFT = re.compile(rf'(.+\.pth|{LAST_CHECKPOINT}|{re.escape(MANIFEST)})\.\d+\.part')


@HOOKS.register_module()
class AtomicCheckpointHook(CheckpointHook):
    """CheckpointHook of mmengine that loses no checkpoint when a run is killed.

    An older checkpoint is removed only after the newer one is on the disk and
    `last_checkpoint` is updated, and only if this run, or the run that it resumes,
    wrote it. A checkpoint also has the random states of all processes, and whether its
    weights were validated. The arguments are those of CheckpointHook, for local
    folders.
    """

    def before_train(self, runner: Runner) -> None:
        """Find the folder, and the files in it that this run has written."""
        # from an untrusted checkpoint, this list could delete other files
        runner.message_hub.runtime_info.pop('keep_ckpt_ids', None)
        super().before_train(runner)
        state = runner.resume_state
        resumed = state.iterations > 0
        if resumed:
            self.last_ckpt = state.checkpoint
        self._saved_at = state.iterations
        # the checkpoints in the folder are of this run only if it resumed from there
        folder = osp.dirname(osp.abspath(state.checkpoint or ''))
        continued = resumed and folder == osp.abspath(self.out_dir)
        self._manifest = self.file_backend = _CheckpointManifest(
            self.out_dir, continued
        )
        self._before_val: list[dict[str, Any]] | None = None
        _remove_drafts(self.out_dir)

    def before_val(self, runner: Runner) -> None:
        """Keep the random states with which training continues after validation."""
        self._before_val = gather_rng_states()

    def after_val_iter(self, runner: Runner, **_: Any) -> None:
        """Stop after a signal; the main process saves the trained weights."""
        if pending_signal() and self._before_val:
            self.stop_validation(runner)

    def stop_validation(self, runner: Runner) -> NoReturn:
        """Save the trained weights and end training, without the other processes."""
        for hook in runner.hooks:
            # validation is with the averaged weights, unless mmpretrain's hook says no
            if isinstance(hook, EMAHook) and getattr(hook, 'evaluate_on_ema', True):
                hook._swap_ema_parameters()
        raise_interrupted(runner.iter, self._save_trained(runner))

    def after_val(self, runner: Runner) -> None:
        """Drop the kept states."""
        self._before_val = None

    def before_save_checkpoint(
        self, runner: Runner, checkpoint: dict[str, Any]
    ) -> None:
        """Add the random states, for an exact resume."""
        if 'optimizer' in checkpoint:
            checkpoint['random_states'] = self._random_states

    def save_now(self, runner: Runner) -> str:
        """Save the weights unless they are saved already; all processes must call this.

        Returns:
            str: The path of the checkpoint.
        """
        path = self._save_trained(runner)
        barrier()  # if a process exited first, the launcher would kill the one writing
        return path

    def _save_trained(self, runner: Runner) -> str:
        if self._saved_at != runner.iter:
            name = f'iter_{runner.iter}.pth'
            if self.by_epoch:
                name = f'epoch_{runner.epoch}_{name}'
            meta = dict(epoch=runner.epoch, iter=runner.iter, validated=False)
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
        self._random_states = self._before_val or gather_rng_states()
        # loops by iterations have none
        in_epoch = getattr(runner.train_loop, 'epoch_state', None)
        runner.message_hub.update_info('last_ckpt', path)
        runner.save_checkpoint(
            self.out_dir,
            name,
            save_optimizer=save_optimizer,
            save_param_scheduler=self.save_param_scheduler,
            meta={
                'validated': self._before_val is not None,
                **(in_epoch(meta['iter']) if in_epoch else {}),
                **meta,
            },
            by_epoch=self.by_epoch,
            **self.args,
        )
        self.last_ckpt, self._saved_at = path, meta['iter']
        if is_main_process():
            write_text(osp.join(runner.work_dir, LAST_CHECKPOINT), path)
            self._manifest.add(path)
            self._manifest.remove_surplus(self.max_keep_ckpts)

    def _save_best_checkpoint(self, runner: Runner, metrics: dict[str, Any]) -> None:
        before = {path: _size_and_time(path) for path in self._best()}
        super()._save_best_checkpoint(runner, metrics)
        if is_main_process():
            for path in self._best():
                if _size_and_time(path) != before.get(path):
                    self._manifest.add(path)
            self._manifest.remove_outdated()

    def _best(self) -> set[str]:
        by_metric = getattr(self, 'best_ckpt_path_dict', None) or {}
        paths = by_metric.values() or [getattr(self, 'best_ckpt_path', None)]
        return set(filter(None, paths))


class _CheckpointManifest:
    """The checkpoints in a folder that a run has written.

    CheckpointHook uses it as its file backend. So it sees no other files, and a file is
    removed only after the newer one is written.

    Args:
        folder (str): The folder.
        resumed (bool): Whether the files of the earlier run in this folder count as
            those of this run.
    """

    def __init__(self, folder: str, resumed: bool) -> None:
        self._folder = folder
        self._outdated: list[str] = []
        self._written = read_manifest(folder) if resumed else {}
        self._path = osp.join(folder, MANIFEST)

    def join_path(self, *parts: str) -> str:
        return osp.join(*parts)

    def isfile(self, path: str) -> bool:
        """Whether the run has written a file, and it exists and is unchanged."""
        in_folder = osp.dirname(osp.abspath(path)) == osp.abspath(self._folder)
        recorded = self._written.get(osp.basename(path))
        return in_folder and recorded is not None and recorded == _size_and_time(path)

    def isdir(self, path: str) -> bool:
        return False

    def remove(self, path: str) -> None:
        self._outdated.append(path)

    def add(self, path: str) -> None:
        """Record a file that the run has written."""
        name = osp.basename(path)
        self._outdated = [each for each in self._outdated if each != path]
        self._written.pop(name, None)
        self._written[name] = _size_and_time(path)
        write_text(self._path, json.dumps(list(self._written.items())))

    def remove_surplus(self, keep: int) -> None:
        """Remove all but the newest `keep` and the best checkpoints; -1 keeps all."""
        names = [name for name in self._written if not name.startswith('best_')]
        if keep > 0:
            self._outdated += [osp.join(self._folder, name) for name in names[:-keep]]
        self.remove_outdated()

    def remove_outdated(self) -> None:
        """Remove the files for which removal was delayed."""
        for path in self._outdated:
            if self.isfile(path):
                os.remove(path)
            self._written.pop(osp.basename(path), None)
        self._outdated = []


def _size_and_time(path: str) -> list[int] | None:
    try:
        found = os.lstat(path)
    except OSError:
        return None
    return [found.st_size, found.st_mtime_ns]


@master_only
def _remove_drafts(folder: str) -> None:
    """Remove incomplete files of a killed run."""
    for name in list_names(folder):
        if _DRAFT.fullmatch(name):
            with suppress(OSError):
                os.remove(osp.join(folder, name))


def get_checkpoint_hook(runner: Runner) -> AtomicCheckpointHook | None:
    """Return the checkpoint hook of a runner, if it has one."""
    return next((h for h in runner.hooks if isinstance(h, AtomicCheckpointHook)), None)
