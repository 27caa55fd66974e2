"""Checkpoint files: reading runs no code from them, writing is atomic."""

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

import mmengine.runner.checkpoint  # noqa: F401, applies the compat patch
import safetensors
import torch
from safetensors.torch import save_file
from torch import Tensor

from glore_mm.checkpoints.archive import member_names, read_member
from glore_mm.utils.atomic_write import atomic_write, write_text
from glore_mm.utils.errors import UserError, summarize_list

SAFETENSORS = '.safetensors'
_SHA256 = '.sha256'  # suffix of the file with the digest of a checkpoint
_DIGEST = re.compile(r'#sha256=([^#]*)$')  # at the end of a path or URL


def read_checkpoint(path: str) -> dict[str, Any]:
    """Read a checkpoint file onto the CPU, without running code from it.

    Args:
        path (str): A file written by torch.save or safetensors. A SHA-256 can be given
            as `<path>#sha256=<64 hex digits>`, or in a file `<path>.sha256` in the
            format of sha256sum. If there is one, it is checked.

    Returns:
        dict: The content of the file. Safetensors files have only weights, which are
        under 'state_dict'.

    Raises:
        UserError: The file does not exist, is not a regular file, is damaged, is not a
            checkpoint, has another SHA-256, or has more than weights.
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
    except Exception as error:  # torch, zipfile and pickle raise different ones
        needed = re.search(r'GLOBAL ([\w.]+)', str(error))
        if isinstance(error, pickle.UnpicklingError) and needed:
            raise UserError(
                f'{path} was not loaded: it has more than weights ({needed[1]}), and '
                'unpickling that could run untrusted code. Ask its author for a file '
                'of the state_dict alone.'
            ) from error
        raise _damaged(path, error) from error
    if not isinstance(content, dict):
        raise UserError(
            f'{path} has no weights: a dict was expected, found a '
            f'{type(content).__name__}'
        )
    return content


def verify_file(path: str) -> str:
    """Make sure that a path is a regular file with the SHA-256 given for it.

    Args:
        path (str): See `read_checkpoint`.

    Returns:
        str: The path without SHA-256.

    Raises:
        UserError: The file does not exist, is not a regular file, or has another
            SHA-256.
    """
    path, expected = split_digest(path)
    _check_is_file(path)
    expected = expected or _read_digest_file(path)
    if expected:
        _check_digest(path, expected)
    return path


def get_state_dict(content: dict[str, Any], path: str) -> dict[str, Tensor]:
    """Return the weights of a checkpoint by name, without the prefix `module.`.

    Args:
        content (dict): Weights, or a dict with weights under 'state_dict'.
        path (str): The file, for the message.

    Raises:
        UserError: `content` has no weights.
    """
    state = content.get('state_dict', content)
    if (
        not isinstance(state, dict)
        or not state
        or not all(isinstance(value, Tensor) for value in state.values())
    ):
        raise UserError(f'{path} has no weights (no state_dict)')
    return {key.removeprefix('module.'): value for key, value in state.items()}


def write_checkpoint(content: dict[str, Any], path: str) -> None:
    """Write a checkpoint file atomically.

    Args:
        content (dict): The content for torch.save. A file that ends in '.safetensors'
            gets only the weights and `meta.dataset_meta`.
        path (str): The file; an existing one is replaced.

    Raises:
        UserError: The file cannot be written.
    """
    with atomic_write(path) as draft:
        try:
            if path.endswith(SAFETENSORS):
                _write_safetensors(content, draft)
            else:
                with open(draft, 'wb') as file:  # raises an OSError with the cause
                    torch.save(content, file)
        except (RuntimeError, safetensors.SafetensorError) as error:
            # for a full disk torch reports only an unexpected position
            if isinstance(error.__context__, OSError):
                raise error.__context__ from None
            raise UserError(f'{path} cannot be written: {error}') from error


def write_digest(path: str) -> str:
    """Write the SHA-256 of a file to `<path>.sha256`, and return it.

    The format is that of `sha256sum`.
    """
    digest = digest_of(path)
    write_text(path + _SHA256, f'{digest}  {osp.basename(path)}\n')
    return digest


def split_digest(path: str) -> tuple[str, str | None]:
    """Split `path#sha256=…` into the path or URL and the SHA-256, None without one.

    Raises:
        UserError: The text after `#sha256=` is not a SHA-256.
    """
    match = _DIGEST.search(path)
    if match is None:
        return path, None
    return path[: match.start()], _checked_digest(match[1], path)


def _checked_digest(text: str, source: str) -> str:
    if not re.fullmatch('[0-9a-fA-F]{64}', text):
        raise UserError(f'{source}: {text!r} is not a SHA-256; expected 64 hex digits')
    return text.lower()


def _read_digest_file(path: str) -> str | None:
    digest_path = path + _SHA256
    if not osp.isfile(digest_path):
        return None
    with open(digest_path, errors='replace') as file:
        words = file.read(1000).split()
    return _checked_digest(words[0] if words else '', digest_path)


def digest_of(path: str) -> str:
    """Return the SHA-256 of a file, in hex digits."""
    digest = hashlib.sha256()
    with open(path, 'rb') as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def _check_digest(path: str, expected: str) -> None:
    found = digest_of(path)
    if found != expected:
        raise UserError(
            f'{path} is not the file that was published: its SHA-256 is {found}, '
            f'expected {expected}. Fetch it again.'
        )


def _check_is_file(path: str) -> None:
    """Make sure that a path is a regular file that is not empty.

    A link in an untrusted folder could lead out of it, or to a device or a pipe.
    """
    try:
        found = os.lstat(path)
    except (OSError, ValueError):  # ValueError: the name is invalid
        raise UserError(
            f'no checkpoint at {path}. Give a file that training has written.'
        ) from None
    if stat.S_ISLNK(found.st_mode):
        raise UserError(
            f'{path} is a symbolic link, to {os.readlink(path)}; expected the '
            'checkpoint itself. Give the file that it points to.'
        )
    if stat.S_ISDIR(found.st_mode):
        raise UserError(f'no checkpoint at {path}: it is a folder. Give a file in it.')
    if not stat.S_ISREG(found.st_mode):
        raise UserError(f'no checkpoint at {path}: it is a device, not a file')
    if not found.st_size:
        raise UserError(f'{path} is empty. Fetch it again.')


def _open_checkpoint(path: str) -> BinaryIO:
    """Open a checkpoint file, or the checkpoint in an archive of the release."""
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
    """Check the checksums of the parts of a zip file, and that they fit into the file.

    torch.load does not verify checksums. torch.save does not compress: a file with
    compressed or overlapping parts was made to fill the memory.
    """
    with zipfile.ZipFile(file) as archive:
        parts = archive.infolist()
        size = sum(part.file_size for part in parts)
        packed = any(part.compress_type != zipfile.ZIP_STORED for part in parts)
        if packed or size > file.seek(0, io.SEEK_END):
            raise ValueError(
                f'it would unpack to {size} bytes: its parts are compressed or overlap'
            )
        if broken := archive.testzip():
            raise ValueError(f'the checksum of {broken} in it is wrong')


def _damaged(path: str, error: Exception) -> UserError:
    # torch prepends advice to disable weights_only
    reason = str(error).rpartition('WeightsUnpickler error:')[2].strip()
    (line, *_) = [*reason.splitlines(), type(error).__name__]
    return UserError(
        f'{path} cannot be read as a checkpoint: {line.rstrip(".")}. '
        'It is damaged, or not a checkpoint.'
    )


def _read_safetensors(path: str) -> dict[str, Any]:
    try:
        with safetensors.safe_open(path, 'pt') as file:
            state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            dataset_meta = json.loads((file.metadata() or {}).get('dataset_meta', '{}'))
    except Exception as error:  # of safetensors, or of json for the header
        raise _damaged(path, error) from error
    if not isinstance(dataset_meta, dict):
        raise UserError(f'{path} cannot be read as a checkpoint: its metadata is wrong')
    return dict(state_dict=state, meta=dict(dataset_meta=dataset_meta))


def _write_safetensors(content: dict[str, Any], path: str) -> None:
    state = get_state_dict(content, path)
    # the format does not support tensors that share memory
    state = {name: value.contiguous().clone() for name, value in state.items()}
    dataset_meta = (content.get('meta') or {}).get('dataset_meta') or {}
    text = json.dumps(dataset_meta, default=list)  # a palette can be an array
    save_file(state, path, dict(format='pt', dataset_meta=text))
