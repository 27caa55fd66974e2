"""Saving checkpoints with mmengine."""

import functools
import hashlib
import threading
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import pytest
import torch

from glore_mm.checkpoints.mmengine_io import install_atomic_save, load_from_http


def test_a_checkpoint_is_written_atomically(tmp_path):
    """With each name of the function in mmengine."""
    import mmengine.runner.runner

    install_atomic_save()
    path = tmp_path / 'iter_1.pth'
    for module in (mmengine.runner.checkpoint, mmengine.runner.runner):
        module.save_checkpoint(dict(weights=torch.ones(3)), str(path))
        written = path.read_bytes()
        with pytest.raises(TypeError, match='pickle'):
            module.save_checkpoint(dict(no=(i for i in ())), str(path))
        assert path.read_bytes() == written
        assert list(tmp_path.iterdir()) == [path]


def test_two_urls_with_one_file_name(tmp_path, monkeypatch):
    monkeypatch.setenv('TORCH_HOME', str(tmp_path / 'home'))
    for name in ('first', 'second'):
        folder = tmp_path / 'site' / name
        folder.mkdir(parents=True)
        weights = torch.full((1,), float(len(name)))
        torch.save(dict(state_dict=dict(weights=weights)), folder / 'best.pth')
    handler = functools.partial(
        SimpleHTTPRequestHandler, directory=str(tmp_path / 'site')
    )
    with ThreadingHTTPServer(('127.0.0.1', 0), handler) as site:
        threading.Thread(target=site.serve_forever, daemon=True).start()
        address = f'http://127.0.0.1:{site.server_port}'
        for name in ('first', 'second', 'first', 'second'):
            url = f'{address}/{name}/best.pth'
            assert load_from_http(url)['state_dict']['weights'] == len(name)
        found = [path.name for path in (tmp_path / 'home').rglob('*.pth')]
        assert len(found) == 2 and 'best.pth' in found

        path = tmp_path / 'site' / 'second' / 'best.pth'
        url += f'?new#sha256={hashlib.sha256(path.read_bytes()).hexdigest()}'
        assert load_from_http(url)['state_dict']['weights'] == len('second')
        site.shutdown()
