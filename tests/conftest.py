import json
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from mmengine.registry import DefaultScope
from paths import ROOT

_fuzzed = {}  # outcomes of each fuzz target


def pytest_sessionfinish(session):
    """Send the counts of a pytest-xdist worker to the main process."""
    if 'fuzzing' in sys.modules:
        _fuzzed.update(sys.modules['fuzzing'].COUNTS)
    if hasattr(session.config, 'workeroutput'):
        session.config.workeroutput['fuzzed'] = _fuzzed


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node):
    """Receive the counts of a worker."""
    _fuzzed.update(getattr(node, 'workeroutput', {}).get('fuzzed', {}))


def pytest_terminal_summary(terminalreporter):
    """Print the number of cases if `make fuzz` requests more than the suite does."""
    if not os.environ.get('GLORE_FUZZ'):
        return
    row = '{:28}{:>9}{:>9}{:>9}'.format
    terminalreporter.write_line(row('target', 'cases', 'refused', 'failures'))
    for name, counts in sorted(_fuzzed.items()):
        terminalreporter.write_line(row(name, *counts))


@pytest.fixture(scope='session', autouse=True)
def empty_folder(tmp_path_factory):
    """Tests begin in an empty folder: data that a demo has written change none."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp('empty'))
        yield


@pytest.fixture(autouse=True)
def default_scope(monkeypatch):
    """A test begins without a default scope, whatever the one before has set."""
    monkeypatch.setattr(DefaultScope, '_instance_dict', {})


@pytest.fixture(scope='session')
def mini(tmp_path_factory) -> Path:
    """A few street scenes in the layout of Cityscapes; must not be changed."""
    from glore_mm.synthetic.mini_cityscapes import write_mini_cityscapes

    root = tmp_path_factory.mktemp('data') / 'mini'
    return write_mini_cityscapes(root, num_train=4, num_val=2, size=(48, 96))


@pytest.fixture(scope='session')
def small_data(mini, tmp_path_factory) -> dict[str, Path]:
    """Data for the configs of the three demos, by task; must not be changed."""
    from glore_mm.synthetic.mini_imagenet import write_mini_imagenet
    from glore_mm.synthetic.mini_kinetics import write_mini_kinetics

    root = tmp_path_factory.mktemp('small')
    write_mini_imagenet(root / 'cls', num_train=10, num_val=10, scale=0.2)
    write_mini_kinetics(root / 'video', num_train=8, num_val=4, scale=0.25)
    return dict(seg=mini, cls=root / 'cls', video=root / 'video')


@pytest.fixture
def data(mini, tmp_path) -> Path:
    """A copy of the same scenes that tests may damage."""
    return Path(shutil.copytree(mini, tmp_path / 'data'))


@pytest.fixture(scope='session')
def tool():
    """Run a script of tools/ as a user does: tool('train', arguments…) in a folder."""

    def run(name: str, *args: object, cwd: Path, check: bool = True):
        command = [sys.executable, str(ROOT / 'tools' / f'{name}.py')]
        if name.endswith('.sh'):
            command = [str(ROOT / 'tools' / name)]
        env = dict(os.environ, PYTHON=sys.executable)
        env.update(OMP_NUM_THREADS='1', CUDA_VISIBLE_DEVICES='')
        with socket.socket() as probe:  # a free port, for tools that run torchrun
            probe.bind(('127.0.0.1', 0))
            env['MASTER_PORT'] = str(probe.getsockname()[1])
        done = subprocess.run(
            [*command, *map(str, args)],
            cwd=cwd,
            env=env,
            capture_output=True,
            text=True,
            timeout=600,
        )
        if check:
            assert done.returncode == 0, done.stdout + done.stderr
        return done

    return run


@pytest.fixture(scope='session')
def losses():
    """Read the losses that the training in a folder has logged."""

    def read(folder: Path) -> list[float]:
        (log,) = folder.rglob('vis_data/scalars.json')
        lines = map(json.loads, log.read_text().splitlines())
        return [line['loss'] for line in lines if 'loss' in line]

    return read


@pytest.fixture
def chromium():
    """A headless Chromium. Without one, tests are skipped, but fail in CI."""
    names = ('chromium', 'chromium-browser', 'google-chrome')
    (path, *_) = [*filter(None, map(shutil.which, names)), None]
    if path is None:
        stop = pytest.fail if os.environ.get('CI') else pytest.skip
        stop('no Chromium is installed; on Debian: apt-get install chromium')
    from playwright.sync_api import sync_playwright

    quiet = ('background-networking', 'component-update', 'sync', 'quic', 'gpu')
    options = [f'--disable-{name}' for name in quiet]
    # new for each test, as workers of data loaders would inherit it and keep it open
    with sync_playwright() as playwright:
        yield playwright.chromium.launch(
            executable_path=path, args=[*options, '--no-sandbox', '--no-first-run']
        )


@pytest.fixture
def opened(chromium):
    """Open a local page; check that it has no errors and requests nothing else."""
    problems, requests, pages = [], [], []

    def open_page(path: Path, width: int = 1200):
        page = chromium.new_page(viewport=dict(width=width, height=900))
        page.on('console', lambda message: problems.append(message.text))
        page.on('pageerror', lambda error: problems.append(str(error)))
        page.on('request', lambda request: requests.append(request.url))
        page.goto(path.as_uri())
        pages.append(path.as_uri())
        return page

    yield open_page
    assert problems == []
    assert [url for url in requests if not url.startswith('data:')] == pages
