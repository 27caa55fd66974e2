import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope='session')
def mini(tmp_path_factory) -> Path:
    """A few street scenes in Cityscapes' layout; not to be changed."""
    from glore_mm.datasets.mini_cityscapes import write_mini_cityscapes

    root = tmp_path_factory.mktemp('data') / 'mini'
    return write_mini_cityscapes(root, num_train=4, num_val=2, size=(48, 96))


@pytest.fixture
def data(mini, tmp_path) -> Path:
    """The same scenes, a copy to damage."""
    import shutil

    return Path(shutil.copytree(mini, tmp_path / 'data'))


@pytest.fixture(scope='session')
def tool():
    """Run one of tools/ as a user does: tool('train', arguments…) in a folder."""

    def run(name: str, *args: object, cwd: Path, check: bool = True):
        command = [sys.executable, str(ROOT / 'tools' / f'{name}.py')]
        if name.endswith('.sh'):
            command = [str(ROOT / 'tools' / name)]
        env = dict(os.environ, PYTHON=sys.executable)
        env.update(OMP_NUM_THREADS='1', CUDA_VISIBLE_DEVICES='')
        with socket.socket() as probe:  # a free port, for those that run torchrun
            probe.bind(('127.0.0.1', 0))
            env['MASTER_PORT'] = str(probe.getsockname()[1])
        done = subprocess.run(
            [*command, *map(str, args)],
            cwd=cwd,
            env=env,
            capture_output=True,
            text=True,
            timeout=300,
        )
        if check:
            assert done.returncode == 0, done.stdout + done.stderr
        return done

    return run
