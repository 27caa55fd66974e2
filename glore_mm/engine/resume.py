"""Find and check the checkpoint to resume from."""

import json
import os
import os.path as osp
import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from mmengine.config import Config

from glore_mm.checkpoints.files import read_checkpoint
from glore_mm.config.build import build_model
from glore_mm.engine.weights import (
    check_state_dict,
    checkpoint_classes,
    read_any_checkpoint,
)
from glore_mm.utils.distributed import is_main_process
from glore_mm.utils.errors import UserError
from glore_mm.utils.paths import list_names

#: Name of the file in a work dir with the path of the latest checkpoint.
LAST_CHECKPOINT = 'last_checkpoint'
#: Name of the file beside the checkpoints that lists those of the run.
MANIFEST = '.written.json'


@dataclass(frozen=True)
class ResumeState:
    """The state from which training starts.

    Attributes:
        checkpoint (str, optional): The file to resume from; None for a new training.
        seed (int, optional): The seed of the interrupted run.
        epochs (int): Number of completed epochs.
        iterations (int): Number of completed iterations, in all epochs.
        batch (int): Number of completed batches of the epoch.
        batches (int, optional): Number of batches of the epoch; None if it was not
            saved, as by Runners of mmengine.
        validated (bool): Whether the weights of the checkpoint have been validated.
        classes (Sequence[str], optional): The class names that were trained.
        random_states (Sequence[dict]): The random states of each process, by rank.
    """

    checkpoint: str | None = None
    seed: int | None = None
    epochs: int = 0
    iterations: int = 0
    batch: int = 0
    batches: int | None = None
    validated: bool = True
    classes: Sequence[str] | None = None
    random_states: Sequence[dict[str, Any]] = ()


def check_work_dir(cfg: Config) -> None:
    """Make sure that a work dir is not that of another task.

    Configs of two tasks can have the same name, and so the same default work dir.

    Raises:
        UserError: The work dir has the config of another task under the same name.
    """
    path = osp.join(cfg.work_dir, osp.basename(cfg.filename))
    with suppress(OSError):
        with open(path, encoding='utf-8') as file:
            scopes = re.findall(r"^default_scope = '(\w+)'", file.read(), re.MULTILINE)
        if scopes and scopes != [cfg.default_scope]:
            raise UserError(
                f'{cfg.work_dir} has a training of another task ({scopes[0]}) by a '
                'config of the same name. Give another folder: --work-dir'
            )


def find_resume_state(cfg: Config, resume: str | None) -> ResumeState:
    """Find the checkpoint to resume from, and check that it fits the config.

    Args:
        cfg (Config): The config of the training.
        resume (str, optional): 'latest', 'auto' (the latest if there is one), or None
            to follow the config.

    Returns:
        ResumeState: The state from which training starts.

    Raises:
        UserError: There is no checkpoint to resume from, or it does not fit.
    """
    path = cfg.get('load_from') if cfg.get('resume') else None
    if resume is None and cfg.get('resume') and not path:
        resume = 'latest'
    folder = _checkpoint_folder(cfg)
    if resume == 'latest' or (resume == 'auto' and _checkpoints(cfg.work_dir, folder)):
        path, content, skipped = find_latest_checkpoint(cfg.work_dir, folder)
        for reason in skipped if is_main_process() else ():
            print(f'skipped: {reason}', flush=True)
    elif path:
        content = read_any_checkpoint(path)
    else:
        return ResumeState()
    check_resumable(content, path)
    check_state_dict(cfg, build_model(cfg), content, path)
    meta = content['meta']
    return ResumeState(
        path,
        meta.get('seed'),
        meta['epoch'],
        meta['iter'],
        meta.get('batch', 0),
        meta.get('batches'),
        meta.get('validated', True),  # Runners of mmengine do not save it
        checkpoint_classes(content),
        content.get('random_states', ()),
    )


def _checkpoint_folder(cfg: Config) -> str:
    """Return the folder that the checkpoint hook of mmengine writes to."""
    hook = (cfg.get('default_hooks') or {}).get('checkpoint') or {}
    out_dir, work_dir = hook.get('out_dir'), osp.abspath(cfg.work_dir)
    if out_dir is None or out_dir == work_dir:
        return cfg.work_dir
    return osp.join(out_dir, osp.basename(work_dir))


def find_latest_checkpoint(
    work_dir: str, folder: str
) -> tuple[str, dict[str, Any], list[str]]:
    """Find the latest complete checkpoint of a run.

    Args:
        work_dir (str): The work dir of the run.
        folder (str): The folder of its checkpoints.

    Returns:
        tuple[str, dict, list[str]]: The path and the content of the checkpoint, and the
        reason why each later one was skipped.

    Raises:
        UserError: There is none.
    """
    skipped = []
    for path in _checkpoints(work_dir, folder):
        try:
            content = read_checkpoint(path)
            check_resumable(content, path)
        except UserError as error:
            skipped.append(str(error))
        else:
            return path, content, skipped
    tried = f' Skipped: {" ".join(skipped)}' if skipped else ''
    raise UserError(
        f'--resume: {folder} has no checkpoint to resume from. Train without '
        f'--resume, or give the --work-dir of the run to resume.{tried}'
    )


def read_manifest(folder: str) -> dict[str, list[int] | None]:
    """Return size and time of the checkpoints that a run wrote, the oldest first."""
    path = osp.join(folder, MANIFEST)
    with suppress(OSError, ValueError, TypeError), open(path) as file:
        return dict(json.load(file))
    return {}


def _checkpoints(work_dir: str, folder: str) -> list[str]:
    """Return the checkpoints in a folder without best_*.pth, the latest first.

    Copies of a work dir can have other times, and a path of the original in
    `last_checkpoint`. So the names that the run noted come first.
    """
    paths = [osp.join(folder, name) for name in list_names(folder)]
    pointer = osp.join(work_dir, LAST_CHECKPOINT)
    last, noted_at = '', float('inf')
    with suppress(OSError, UnicodeDecodeError), open(pointer) as file:
        last, noted_at = file.read().strip(), os.stat(pointer).st_mtime_ns
    if osp.basename(last) not in map(osp.basename, paths):
        paths.append(last)  # the checkpoints can be in another folder
    paths = [
        path
        for path in paths
        if path.endswith('.pth')
        and not osp.basename(path).startswith('best_')
        and osp.lexists(path)
    ]
    written = [*read_manifest(folder)]

    def age(path: str) -> tuple[bool, bool, int, int]:
        name, time = osp.basename(path), os.lstat(path).st_mtime_ns
        order = written.index(name) if name in written else -1
        # a run can be killed after it saved a checkpoint and before it noted its name
        not_noted = bool(written) and order < 0 and time > noted_at
        return not_noted, name == osp.basename(last), order, time

    return sorted(paths, key=age, reverse=True)


def check_resumable(content: dict[str, Any], path: str) -> None:
    """Make sure that training can resume from a checkpoint.

    Raises:
        UserError: The checkpoint has no optimizer state, message hub or counters, or it
            has the text of a config, which mmengine would execute.
    """
    meta = content.get('meta')
    if isinstance(meta, dict) and 'config' in meta:
        raise UserError(
            f'{path} was not resumed: its meta.config has a text that mmengine would '
            'run as Python. To continue from its weights alone, give it as load_from.'
        )
    counters = [meta.get(key) for key in ('epoch', 'iter')] if meta else [None]
    missing = [key for key in ('message_hub', 'optimizer') if key not in content]
    if missing or not all(type(count) is int and count >= 0 for count in counters):
        raise UserError(
            f'{path} cannot be resumed: it lacks {missing[0] if missing else "meta"}, '
            'which a resumed training needs. To continue from its weights alone, give '
            'it as load_from.'
        )
