"""Checkpoint files: read without running anything in them, written whole or not."""

import hashlib
import io
import json
import os
import os.path as osp
import pickle
import re
import stat
import tarfile
import zipfile
from typing import Any, BinaryIO

import mmengine.runner.checkpoint  # noqa: F401, lets compat allow what Runners save
import safetensors
import torch
from safetensors.torch import save_file
from torch import Tensor

from glore_mm.checkpoints.archive import member_names, read_member
from glore_mm.utils.atomic_write import atomic_write, write_text
from glore_mm.utils.errors import UserError, summarize_list

SAFETENSORS = '.safetensors'
_SHA256 = '.sha256'  # of the file beside a checkpoint that has its digest
_DIGEST = re.compile(r'#sha256=([^#]*)$')  # at the end of a path or an address


def read_checkpoint(path: str) -> dict[str, Any]:
    """Read a checkpoint file onto the CPU, without running anything in it.

    Args:
        path (str): A file that torch.save or safetensors wrote. Its SHA-256 is
            compared with that which `#sha256=<64 hex digits>` behind the path gives, or
            the file `<path>.sha256`, as sha256sum writes it, where there is one.

    Returns:
        dict: Its content; that of safetensors, which are weights alone, under
        'state_dict'.

    Raises:
        UserError: There is no such file or it is none, it is damaged or no checkpoint,
            it is not the one of that SHA-256, or it holds more than weights.
    """
    path = verify_file(path)
    if path.endswith(SAFETENSORS):
        return _read_safetensors(path)
    try:
        with _open_checkpoint(path) as file:
            if zipfile.is_zipfile(file):
                _check_zip(file)
            file.seek(0)
            content = torch.load(file, map_location='cpu', weights_only=True)
    except UserError:
        raise
    except Exception as error:  # torch, zipfile and pickle each have their own
        needed = re.search(r'GLOBAL ([\w.]+)', str(error))
        if isinstance(error, pickle.UnpicklingError) and needed:
            raise UserError(
                f'{path} was not loaded: it holds more than weights ({needed[1]}), and '
                'unpickling that could run code of a stranger. Ask its author for a '
                'file of the state_dict alone.'
            ) from error
        raise _damaged(path, error) from error
    if not isinstance(content, dict):
        raise UserError(
            f'{path} holds no weights: a dict was expected, found a '
            f'{type(content).__name__}'
        )
    return content


def verify_file(path: str) -> str:
    """Make sure that a path is a file and has the SHA-256 that is given for it.

    Args:
        path (str): As for `read_checkpoint`.

    Returns:
        str: The path alone.

    Raises:
        UserError: There is no such file or it is none, or it is another one.
    """
    path, expected = split_digest(path)
    _check_is_file(path)
    expected = expected or _digest_beside(path)
    if expected:
        _check_digest(path, expected)
    return path


def get_state_dict(content: dict[str, Any], path: str) -> dict[str, Tensor]:
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


def write_checkpoint(content: dict[str, Any], path: str) -> None:
    """Write a checkpoint file; it appears under its name when it is complete.

    Args:
        content (dict): What torch.save shall write. Of it, a file that ends in
            '.safetensors' gets the weights and what their data set says of itself.
        path (str): The file; one of that name is replaced.

    Raises:
        UserError: It cannot be written there.
    """
    with atomic_write(path) as draft:
        try:
            if path.endswith(SAFETENSORS):
                _write_safetensors(content, draft)
            else:
                with open(draft, 'wb') as file:  # an OSError says what is wrong
                    torch.save(content, file)
        except (RuntimeError, safetensors.SafetensorError) as error:
            # torch says of a full disk that it is at an unexpected position
            if isinstance(error.__context__, OSError):
                raise error.__context__ from None
            raise UserError(f'{path} cannot be written: {error}') from error


def write_digest(path: str) -> str:
    """Write the SHA-256 of a file beside it, `<path>.sha256`, and return it.

    `sha256sum --check` reads it, too.
    """
    digest = _digest_of(path)
    write_text(path + _SHA256, f'{digest}  {osp.basename(path)}\n')
    return digest


def split_digest(path: str) -> tuple[str, str | None]:
    """The path or address in `path#sha256=…`, and the SHA-256 where there is one.

    Raises:
        UserError: It is no SHA-256.
    """
    given = _DIGEST.search(path)
    if given is None:
        return path, None
    return path[: given.start()], _checked_digest(given[1], path)


def _checked_digest(text: str, source: str) -> str:
    if not re.fullmatch('[0-9a-fA-F]{64}', text):
        raise UserError(f'{source}: {text!r} is no SHA-256; expected 64 hex digits')
    return text.lower()


def _digest_beside(path: str) -> str | None:
    beside = path + _SHA256
    if not osp.isfile(beside):
        return None
    with open(beside, errors='replace') as file:
        words = file.read(1000).split()
    return _checked_digest(words[0] if words else '', beside)


def _digest_of(path: str) -> str:
    digest = hashlib.sha256()
    with open(path, 'rb') as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def _check_digest(path: str, expected: str) -> None:
    found = _digest_of(path)
    if found != expected:
        raise UserError(
            f'{path} is not the file that was published: its SHA-256 is {found}, '
            f'expected {expected}. Fetch it again.'
        )


def _check_is_file(path: str) -> None:
    """Make sure that a path is a regular file with something in it.

    A link could lead out of a folder that a stranger packed, to a device or a pipe.
    """
    try:
        found = os.lstat(path)
    except (OSError, ValueError):  # the name itself can be wrong
        raise UserError(
            f'no checkpoint at {path}. Give a file that training has written.'
        ) from None
    if stat.S_ISLNK(found.st_mode):
        raise UserError(
            f'{path} is a symbolic link, to {os.readlink(path)}; expected the '
            'checkpoint itself. Give the file that it leads to.'
        )
    if stat.S_ISDIR(found.st_mode):
        raise UserError(f'no checkpoint at {path}: it is a folder. Give a file in it.')
    if not stat.S_ISREG(found.st_mode):
        raise UserError(f'no checkpoint at {path}: it is a device, not a file')
    if not found.st_size:
        raise UserError(f'{path} is empty. Fetch it again.')


def _open_checkpoint(path: str) -> BinaryIO:
    """A checkpoint file; where it is an archive of the release, that in it."""
    if not tarfile.is_tarfile(path):
        return open(path, 'rb')
    names = member_names(path)
    found = [name for name in names if name.endswith(('.pth', '.pth.tar'))]
    if len(found) != 1:
        raise UserError(
            f'{path} is an archive with {len(found)} checkpoints (.pth, .pth.tar), '
            f'expected 1: {summarize_list(names)}. '
            'tools/convert_checkpoint.py converts those of the GloRe release.'
        )
    return io.BytesIO(read_member(path, found[0]))


def _check_zip(file: BinaryIO) -> None:
    """Make sure that the parts of a zip file are whole, and no larger than the file.

    torch.load checks no sums. It stores what it writes, so that what is compressed, or
    overlaps, was made to fill the memory.
    """
    with zipfile.ZipFile(file) as archive:
        parts = archive.infolist()
        size = sum(part.file_size for part in parts)
        packed = any(part.compress_type != zipfile.ZIP_STORED for part in parts)
        if packed or size > file.seek(0, io.SEEK_END):
            raise ValueError(
                f'it would unpack to {size} bytes, which no checkpoint does'
            )
        if broken := archive.testzip():
            raise ValueError(f'the checksum of {broken} in it is wrong')


def _damaged(path: str, error: Exception) -> UserError:
    # torch puts its advice, not to be safe, in front of what is wrong
    reason = str(error).rpartition('WeightsUnpickler error:')[2].strip()
    (line, *_) = [*reason.splitlines(), type(error).__name__]
    return UserError(
        f'{path} cannot be read as a checkpoint: {line.rstrip(".")}. '
        'It is damaged, or no checkpoint.'
    )


def _read_safetensors(path: str) -> dict[str, Any]:
    try:
        with safetensors.safe_open(path, 'pt') as file:
            state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            about = json.loads((file.metadata() or {}).get('dataset_meta', '{}'))
    except Exception as error:  # safetensors' own, and those of what a header holds
        raise _damaged(path, error) from error
    if not isinstance(about, dict):
        raise UserError(f'{path} cannot be read as a checkpoint: its metadata is wrong')
    return dict(state_dict=state, meta=dict(dataset_meta=about))


def _write_safetensors(content: dict[str, Any], path: str) -> None:
    state = get_state_dict(content, path)
    # the format knows no memory that tensors share
    state = {name: value.contiguous().clone() for name, value in state.items()}
    about = (content.get('meta') or {}).get('dataset_meta') or {}
    about = json.dumps(about, default=list)  # arrays, of a palette
    save_file(state, path, dict(format='pt', dataset_meta=about))
