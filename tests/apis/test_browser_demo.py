"""The page in the browser: uploads, predictions, nodes, messages; for each task.

Needs Gradio, which is in the extra [demo]; without it most tests are skipped.
"""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest
import torch
from paths import ROOT
from PIL import Image

from glore_mm.apis.browser_demo import BrowserDemo, _Uploads, serve
from glore_mm.config.build import build_model
from glore_mm.config.load import load_config
from glore_mm.unit import GloRe
from glore_mm.utils.errors import UserError

SMALL = {
    'cls/glore_mini.py': {
        'model.backbone.backbone.base_channels': 4,
        'model.head.in_channels': 128,
    },
    'cls/plain_mini.py': {
        'model.backbone.base_channels': 4,
        'model.head.in_channels': 128,
    },
    'seg/glore_mini.py': {'model.decode_head.channels': 16},
}


@pytest.fixture
def gradio():
    return pytest.importorskip('gradio', minversion='6')


@pytest.fixture(scope='module')
def weights(tmp_path_factory):
    """A file with random weights of a config, and its options."""
    folder = tmp_path_factory.mktemp('weights')

    def write(name):
        file, options = folder / f'{name.replace("/", "_")}.pth', SMALL.get(name, {})
        if not file.exists():
            torch.manual_seed(0)
            cfg = load_config(f'glore_mm::{name}', options)
            model = build_model(cfg)
            for module in model.modules():
                if isinstance(module, GloRe):
                    closing = getattr(module.blocker, 'weight', torch.ones(1))
                    torch.nn.init.ones_(closing)
            about = {}
            if 'decode_head' not in cfg.model:
                head = cfg.model.get('head') or cfg.model.cls_head
                about = dict(classes=[f'<{i}> & co' for i in range(head.num_classes)])
            content = dict(meta=dict(dataset_meta=about), state_dict=model.state_dict())
            torch.save(content, file)
        return str(file), options

    return write


@pytest.fixture
def demo(weights):
    def make(name):
        file, options = weights(name)
        return BrowserDemo(load_config(f'glore_mm::{name}', options), file)

    return make


@pytest.fixture
def visit(chromium):
    """Open an address; afterwards: no error on the page, no request to elsewhere."""
    problems, requests, hosts = [], [], set()

    def open_page(url, **options):
        page = chromium.new_page(**options)
        page.set_default_timeout(60_000)
        page.on('pageerror', lambda error: problems.append(str(error)))
        page.on(
            'console',
            lambda message: message.type == 'error' and problems.append(message.text),
        )
        page.on('request', lambda request: requests.append(request.url))
        page.on('websocket', lambda socket: requests.append(socket.url))
        hosts.add(url.split('/')[2])
        page.goto(url)
        page.locator('#result li').first.wait_for()
        return page

    yield open_page
    fetched = [url for url in requests if not url.startswith(('data:', 'blob:'))]
    assert {url.split('/')[2] for url in fetched if '//' in url} == hosts
    assert {url for url in fetched if '//' not in url} <= {'about:srcdoc'}
    assert problems == []


def upload(page, file):
    """Give a file to the page, which has none or shows another."""
    remove = page.get_by_label('Remove this file').or_(page.get_by_label('Clear'))
    if remove.count():
        remove.first.click()
        page.locator('#result .steps').wait_for()
    page.locator('input[type=file]').first.set_input_files(file)
    page.locator('#result .prediction, #result .alert').first.wait_for()


def shown_nodes(page):
    """The page of the nodes, when it is drawn."""
    nodes = page.frame_locator('#nodes iframe')
    nodes.locator('#place').filter(has_text=re.compile(r'\w')).wait_for()
    return nodes


def uploaded():
    """The files that are on the server now; Gradio leaves empty ones."""
    folder = Path(os.environ['GRADIO_TEMP_DIR'])
    return [path.name for path in folder.rglob('*') if path.is_file()
            and path.stat().st_size]  # fmt: skip


def wait_until(condition):
    limit = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < limit
        time.sleep(0.05)


def test_segmentation(gradio, demo, visit, small_data, tmp_path):
    image = min(small_data['seg'].glob('leftImg8bit/val/*/*'))
    shutil.copy(image, tmp_path / 'a ${1 + 1} {{x}} street.png')
    image = tmp_path / 'a ${1 + 1} {{x}} street.png'
    demo = demo('seg/glore_mini.py')
    with serve(demo) as url:
        assert re.fullmatch(r'http://127\.0\.0\.1:\d+', url)
        page = visit(url)
        assert '19 classes (road, ' in page.locator('body').inner_text()
        upload(page, image)

        # the prediction, against the network itself
        labels = demo._predictor.predict(str(image))
        found = demo._predictor.topk(labels, 19)
        names = page.locator('#result .label').all_inner_texts()
        assert names == [each['label'] for each in found]
        color = page.locator('#result .color').first.evaluate(
            'element => getComputedStyle(element).backgroundColor'
        )
        best = demo._predictor.classes.index(names[0])
        assert color == f'rgb({", ".join(map(str, demo._predictor.palette[best]))})'
        assert 'street.png' in page.locator('#result h2').inner_text()
        upper = page.locator('#result .layers img').nth(1)
        assert upper.evaluate('e => [e.naturalWidth, e.naturalHeight]') == [96, 48]
        page.locator('#opacity').press('End')
        assert upper.evaluate('element => element.style.opacity') == '1'

        # the nodes of its unit
        nodes = shown_nodes(page)
        (unit,) = demo.units
        assert unit in nodes.locator('#unit').inner_text()
        before = nodes.locator('#place').inner_text()
        nodes.locator('#view').hover(position=dict(x=5, y=5))
        assert nodes.locator('#place').inner_text() != before
        frame = page.locator('#nodes iframe')
        page.wait_for_function(
            """() => {
                const frame = document.querySelector('#nodes iframe');
                const root = frame.contentDocument.documentElement;
                return Math.abs(frame.clientHeight - root.offsetHeight) < 4;
            }"""
        )
        assert frame.evaluate('e => e.contentWindow.innerHeight') > 900

        # what is uploaded stays as long as its page
        other = visit(url)
        upload(other, image)
        other.close()
        time.sleep(1)
        assert len(uploaded()) == 1
        page.close()
        wait_until(lambda: not uploaded())
        folder = Path(os.environ['GRADIO_TEMP_DIR'])
        assert folder.is_dir()
    assert not folder.exists()
    assert os.environ.get('GRADIO_TEMP_DIR') != str(folder)


def test_video(gradio, demo, visit, small_data, tmp_path):
    clip = min(small_data['video'].rglob('*.mp4'))
    demo = demo('video/glore_mini.py')
    with serve(demo) as url:
        page = visit(url)
        upload(page, clip)
        assert page.locator('#result .frames img').count() == 8
        labels = page.locator('#result .label').all_inner_texts()
        best = demo._predictor.topk(demo._predictor.predict(str(clip)), 5)
        assert labels == [each['label'] for each in best]  # '<' and '&' are escaped
        nodes = shown_nodes(page)
        assert nodes.locator('#unit option').count() == len(demo.units) == 2
        nodes.locator('#unit').select_option(index=1)
        nodes.locator('#frame').press('ArrowRight')
        assert nodes.locator('#frame-label').inner_text() == 'frame 1'

        (tmp_path / 'cut.mp4').write_bytes(clip.read_bytes()[:3000])
        Image.new('RGB', (64, 64)).save(tmp_path / 'still.png')
        for name, problem in (
            ('cut.mp4', 'PyAV cannot open it'),
            ('still.png', 'is no video'),
        ):
            upload(page, tmp_path / name)
            message = page.locator('#result .alert').inner_text()
            assert message.startswith(name)
            assert problem in message
            assert '/' not in message  # the folder of the uploads is of no use
            assert page.locator('#nodes iframe').count() == 0
            assert uploaded() == [name]
        upload(page, clip)  # it goes on
        assert page.locator('#result .frames img').count() == 8


def test_a_network_without_units(gradio, demo, visit, small_data, tmp_path):
    demo = demo('cls/plain_mini.py')
    (tmp_path / 'notes.txt').write_text('no image')
    (tmp_path / 'large.png').write_bytes(bytes(1_500_000))
    with serve(demo, max_size=1) as url:
        page = visit(url, viewport=dict(width=390, height=800))  # a phone
        assert 'It has no GloRe units' in page.locator('body').inner_text()
        upload(page, min(small_data['cls'].glob('val/*/*')))
        assert page.locator('#result .label').count() == 5
        assert 'has no GloRe unit' in page.locator('#nodes').inner_text()
        assert page.evaluate('document.documentElement.scrollWidth') <= 390
        upload(page, tmp_path / 'notes.txt')
        message = page.locator('#result .alert').inner_text()
        assert message.startswith('notes.txt: cannot be read as an image')
        page.reload()
        page.locator('#result .steps').wait_for()
        wait_until(lambda: not uploaded())
        page.locator('input[type=file]').first.set_input_files(tmp_path / 'large.png')
        page.get_by_text('exceed the maximum allowed size').wait_for()
        assert uploaded() == []

        # who has not opened the page
        request = urllib.request.Request(url, headers={'Host': 'evil.example'})
        with pytest.raises(urllib.error.HTTPError, match='400'):
            urllib.request.urlopen(request)
        with urllib.request.urlopen(url) as answer:
            assert "default-src 'self'" in answer.headers['Content-Security-Policy']


#: Runs the command; what it connects to or looks up is written to a file.
AUDITED = """
import sys
seen = open('seen.txt', 'w', buffering=1)

def note(event, arguments):
    if event in ('socket.connect', 'socket.sendto'):
        print(arguments[1], file=seen)
    if event in ('socket.getaddrinfo', 'socket.gethostbyname'):
        print(arguments[:1], file=seen)

sys.addaudithook(note)
from glore_mm.commands.demo import main
main()
"""


@pytest.mark.slow
def test_the_command(gradio, weights, visit, small_data, tmp_path):
    """From the start to Ctrl-C: an address, an answer, no trace of the uploads."""
    file, options = weights('seg/glore_mini.py')
    (tmp_path / 'tmp').mkdir()
    environment = dict(os.environ, TMPDIR=str(tmp_path / 'tmp'), OMP_NUM_THREADS='1')
    environment.update(CUDA_VISIBLE_DEVICES='', http_proxy='http://127.0.0.1:9')
    environment['PYTHONPATH'] = os.pathsep.join([str(ROOT), *sys.path[1:]])
    server = subprocess.Popen(
        [sys.executable, '-c', AUDITED, 'glore_mm::seg/glore_mini.py', file,
         '--cfg-options', *(f'{key}={value}' for key, value in options.items())],
        cwd=tmp_path, env=environment, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    try:
        lines = iter(server.stdout.readline, '')
        line = next((line for line in lines if line.startswith('http')), '')
        assert re.match(r'http://127\.0\.0\.1:\d+ ', line), server.communicate()
        page = visit(line.split()[0])
        upload(page, min(small_data['seg'].glob('leftImg8bit/val/*/*')))
        shown_nodes(page)
        assert list((tmp_path / 'tmp').glob('glore-demo-*/*/*leftImg8bit.png'))
        server.send_signal(signal.SIGINT)
        _, errors = server.communicate(timeout=30)
    finally:
        server.kill()
    assert server.returncode == 0, errors
    assert 'Traceback' not in errors
    assert not list((tmp_path / 'tmp').glob('glore-demo-*'))
    seen = (tmp_path / 'seen.txt').read_text().splitlines()
    assert seen
    assert [line for line in seen if '127.0.0.1' not in line] == []
    page.close()


# ---------------------------------------------------------------- without a page


def test_what_fails_is_a_message(demo, small_data, capsys):
    demo = demo('cls/glore_mini.py')
    image = str(min(small_data['cls'].glob('val/*/*')))
    prediction, nodes = demo.answer(image)
    assert prediction.count('class="label"') == 5
    assert f'<iframe title="The nodes of {Path(image).name}"' in nodes

    def fail(path):
        raise RuntimeError(f'out of memory for {path}')

    object.__setattr__(demo._predictor, 'predict', fail)
    message, nodes = demo.answer(image)
    name = Path(image).name
    assert f'the network failed on this input: out of memory for {name}<' in message
    assert nodes == ''
    assert 'RuntimeError: out of memory' in capsys.readouterr().err


def test_one_at_a_time(demo, small_data):
    demo = demo('cls/plain_mini.py')
    predict, running, most = demo._predictor.predict, [], []

    def watched(path):
        running.append(path)
        most.append(len(running))
        time.sleep(0.05)
        running.remove(path)
        return predict(path)

    object.__setattr__(demo._predictor, 'predict', watched)
    images = sorted(map(str, small_data['cls'].glob('val/*/*')))[:4]
    threads = [threading.Thread(target=demo.answer, args=(i,)) for i in images]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == [1] * 4


def test_uploads_are_removed(tmp_path):
    uploads = _Uploads()
    first, second = tmp_path / 'a' / 'x.png', tmp_path / 'b' / 'x.png'
    for file in (first, second):
        file.parent.mkdir()
        file.touch()
    uploads.replace('one', str(first))
    uploads.replace('two', str(first))  # the same content
    uploads.replace('one', str(second))
    assert first.exists()
    uploads.replace('two')
    assert not first.parent.exists()
    uploads.replace('one', str(second))  # once more
    assert second.exists()
    uploads.replace('one')
    uploads.replace('one')
    assert not second.parent.exists()


def test_an_address_that_cannot_be_had():
    with socket.create_server(('127.0.0.1', 0)) as other:
        port = other.getsockname()[1]
        with (
            pytest.raises(UserError, match=f'--host 127.0.0.1 --port {port}: .*in use'),
            serve(None, port=port),
        ):
            pass
    for host, port in (('192.0.2.1', None), ('127.0.0.1', 70000)):
        with pytest.raises(UserError, match=f'--host {host}'), serve(None, host, port):
            pass


def test_without_gradio(monkeypatch):
    monkeypatch.setitem(sys.modules, 'gradio', None)
    with (
        pytest.raises(UserError, match=r"pip install 'glore-mm\[demo\]'"),
        serve(None),
    ):
        pass
