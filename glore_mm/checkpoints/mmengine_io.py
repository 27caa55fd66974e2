"""Patches of mmengine's loading (safe) and saving (atomic) of checkpoints."""

import functools
import os
import os.path as osp
from typing import Any, NoReturn

import torch
from filelock import FileLock
from mmengine.fileio.backends import http_backend
from mmengine.runner import CheckpointLoader
from mmengine.runner import checkpoint as mmengine_checkpoint
from mmengine.runner import runner as mmengine_runner

from glore_mm.checkpoints.files import read_checkpoint, split_digest, write_checkpoint
from glore_mm.utils.errors import UserError


def install_safe_loaders() -> None:
    """Let mmengine read no checkpoint in this process but by `read_checkpoint`.

    mmengine's own loaders unpickle what they have downloaded, and run code that is in
    it. This is for every way to name a checkpoint: a path, http(s)://, torchvision://,
    open-mmlab:// and mmcls://, in load_from, init_cfg or on a command line. Those that
    need packages of a company's cloud (pavi://, s3://, petrel://) are refused.

    With GLORE_OFFLINE=1 in the environment, whatever torch.hub, the Hugging Face hub or
    mmengine would download is an error.
    """
    for load, *prefixes in (
        (load_from_local, ''),
        (load_from_http, 'http://', 'https://'),
        (load_from_cloud, 'pavi://', r'(\S+\:)?s3://', r'(\S+\:)?petrel://'),
    ):
        CheckpointLoader.register_scheme(prefixes, load, force=True)
    # which torchvision://, open-mmlab:// and mmcls:// end at
    mmengine_checkpoint.load_from_http = load_from_http
    # what timm and others load themselves; torch before 2.6 cannot be told which
    # globals of mmengine's own checkpoints are safe
    if hasattr(torch.serialization, 'get_unsafe_globals_in_checkpoint'):
        os.environ['TORCH_FORCE_WEIGHTS_ONLY_LOAD'] = '1'
    if is_offline():
        os.environ['HF_HUB_OFFLINE'] = '1'
        torch.hub.download_url_to_file = _refuse_download
        http_backend.urlopen = _refuse_download


def install_atomic_save() -> None:
    """Let mmengine write checkpoints by `write_checkpoint`.

    mmengine/runner/checkpoint.py:790 writes over the file that is there, so that a run
    that is killed meanwhile leaves neither the old nor the new one. Files elsewhere
    than on a local disk are left to mmengine.
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


def is_offline() -> bool:
    """Whether nothing may be downloaded: GLORE_OFFLINE=1."""
    return os.environ.get('GLORE_OFFLINE') == '1'


def load_from_local(filename: str, map_location: object = None) -> dict[str, Any]:
    """Read a file; what uses it moves it to a device."""
    return read_checkpoint(osp.expanduser(filename))


def load_from_http(filename: str, map_location: object = None) -> dict[str, Any]:
    """Download a file into torch.hub's folder, once, and read it.

    Raises:
        UserError: It cannot be downloaded or read, or is not the one of the SHA-256
            that stands behind the address.
    """
    address, digest = split_digest(filename)
    folder = osp.join(torch.hub.get_dir(), 'checkpoints')
    os.makedirs(folder, exist_ok=True)
    path = osp.join(folder, osp.basename(address))
    with FileLock(f'{path}.lock'):  # one process downloads, the others find it
        if not osp.exists(path):
            try:
                torch.hub.download_url_to_file(address, path, hash_prefix=digest)
            except UserError:
                raise
            except Exception as error:  # urllib's, socket's, a wrong digest
                raise UserError(
                    f'{address} cannot be downloaded: {error}. Where it can be '
                    f'fetched by other means, put the file at {path}.'
                ) from error
    return read_checkpoint(f'{path}#sha256={digest}' if digest else path)


def load_from_cloud(filename: str, map_location: object = None) -> NoReturn:
    """Refuse an address that only packages of a cloud can read.

    Raises:
        UserError: Always.
    """
    raise UserError(
        f'{filename}: the tools load checkpoints from files and from http(s) '
        'addresses. Fetch it, and give the file.'
    )


def _refuse_download(
    url: str, dst: str = 'where the config looks for it', *args: Any, **kwargs: Any
) -> NoReturn:
    raise UserError(
        f'GLORE_OFFLINE=1, and {url} would be downloaded. Put the file at {dst}, or '
        'name a file of yours in the config.'
    )
