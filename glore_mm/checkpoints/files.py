"""Checkpoint files: read without running anything in them, written whole or not."""

import os
import os.path as osp
import pickle
import re
import tarfile
import tempfile

import mmengine.runner.checkpoint  # noqa: F401, lets compat allow what Runners save
import torch
from torch import Tensor

from glore_mm.errors import UserError


def read_checkpoint(path: str) -> dict:
    """Read a checkpoint file with `weights_only=True`, onto the CPU.

    Args:
        path (str): A file that torch.save wrote.

    Returns:
        dict: Its content.

    Raises:
        UserError: There is no such file, it is damaged or no checkpoint, or it needs
            more than weights_only allows.
    """
    if not osp.isfile(path):
        raise UserError(f'no checkpoint at {path}')
    if tarfile.is_tarfile(path):
        raise UserError(
            f'{path} is an archive, not a checkpoint. {_about_archive(path)}'
        )
    try:
        content = torch.load(path, map_location='cpu', weights_only=True)
    except Exception as error:  # torch, zipfile and pickle each have their own
        needed = re.search(r'GLOBAL ([\w.]+)', str(error))
        if isinstance(error, pickle.UnpicklingError) and needed:
            raise UserError(
                f'{path} was not loaded: it holds more than weights ({needed[1]}), and '
                'unpickling that could run code of a stranger. Ask its author for a '
                'file of the state_dict alone.'
            ) from error
        lines = str(error).strip().splitlines() or [type(error).__name__]
        raise UserError(
            f'{path} cannot be read as a checkpoint: {lines[0]}. '
            'It is damaged, or no checkpoint.'
        ) from error
    if not isinstance(content, dict):
        raise UserError(
            f'{path} holds no weights: a dict was expected, found a '
            f'{type(content).__name__}'
        )
    return content


def weights_of(content: dict, path: str) -> dict[str, Tensor]:
    """The weights in a checkpoint's content, by name, without a `module.` prefix.

    Args:
        content (dict): Weights, or a dict with weights under 'state_dict'.
        path (str): Where it came from, for the message.

    Raises:
        UserError: There are none.
    """
    state = content.get('state_dict', content)
    if (
        not isinstance(state, dict)
        or not state
        or not all(isinstance(value, Tensor) for value in state.values())
    ):
        raise UserError(f'{path} holds no weights (no state_dict)')
    return {key.removeprefix('module.'): value for key, value in state.items()}


def write_checkpoint(content: dict, path: str) -> None:
    """Write a checkpoint file; it appears under its name when it is complete.

    Args:
        content (dict): What torch.save shall write.
        path (str): The file; one of that name is replaced.

    Raises:
        UserError: It cannot be written there.
    """
    folder = osp.dirname(osp.abspath(path))
    try:
        os.makedirs(folder, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder, prefix='.writing-') as draft:
            torch.save(content, osp.join(draft, 'checkpoint'))
            os.replace(osp.join(draft, 'checkpoint'), path)
    except (OSError, RuntimeError) as error:  # torch has its own for a full disk
        raise UserError(f'{path} cannot be written: {error}') from error


def _about_archive(path: str) -> str:
    """What to say of a .tar: the release has two kinds, neither of which converts."""
    try:
        with tarfile.open(path) as archive:
            names = archive.getnames()
    except tarfile.TarError:
        names = []
    if any(name.endswith('.params') for name in names):
        return (
            'It holds weights in the format of MXNet, as the ImageNet archives of the '
            'GloRe release do. They are not supported: only MXNet reads that format, '
            'and MXNet is retired.'
        )
    return (
        'The archives of the GloRe release are not supported: those for ImageNet hold '
        'weights in the format of MXNet, which is retired; those for Cityscapes hold '
        'networks whose code and recipe are public nowhere but in the archive itself, '
        'so there is nothing to check a conversion against. Its Kinetics checkpoints '
        '(.pth) convert.'
    )
