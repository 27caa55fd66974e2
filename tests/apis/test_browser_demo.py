"""The page in the browser, for each task; skipped without the extra [demo]."""

import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import pytest
import torch
from PIL import Image

from glore_mm.apis import browser_demo
from glore_mm.apis.browser_demo import BrowserDemo, serve
from glore_mm.config.build import build_model
from glore_mm.config.load import load_config
from glore_mm.utils.errors import UserError


@pytest.fixture
def demo(tmp_path):
    def make(name, **about):
        cfg = load_config(f'glore_mm::{name}')
        weights = build_model(cfg).state_dict()
        content = dict(meta=dict(dataset_meta=about), state_dict=weights)
        torch.save(content, tmp_path / 'a.pth')
        return BrowserDemo(cfg, str(tmp_path / 'a.pth'))

    return make


@pytest.fixture
def visit(chromium):
    """Open an address; afterwards: no error on the page, no request to elsewhere."""
    pytest.importorskip('gradio')
    errors, requests = [], []

    def open_page(url, **options):
        page = chromium.new_page(**options)
        page.set_default_timeout(60_000)
        page.on('pageerror', lambda error: errors.append(str(error)))
        page.on('console', lambda m: m.type == 'error' and errors.append(m.text))
        page.on('request', lambda request: requests.append(request.url))
        page.on('websocket', lambda socket: requests.append(socket.url))
        page.goto(url)
        page.locator('h1').wait_for()
        return page

    yield open_page
    assert {urlsplit(url).hostname for url in requests} - {None} == {'127.0.0.1'}
    assert errors == []


def give(page, file):
    """Upload a file to a page, which has none or shows another."""
    remove = page.get_by_label('Remove this file').or_(page.get_by_label('Clear'))
    if remove.count():
        remove.first.click()
        page.locator('meter').first.wait_for(state='detached')
    page.locator('input[type=file]').first.set_input_files(file)


def classes(page):
    """The names beside the bars, when there are any."""
    page.locator('meter').first.wait_for()
    return page.locator('dt').all_inner_texts()


def message(page, file):
    """The message about a file; closes it."""
    give(page, file)
    text = page.get_by_test_id('toast-text').inner_text()
    page.get_by_test_id('toast-close').click()
    page.get_by_test_id('toast-text').wait_for(state='detached')
    return text


def shown_nodes(page):
    """The page of the nodes, when it is drawn."""
    nodes = page.frame_locator('#nodes iframe')
    nodes.locator('#place').filter(has_text=re.compile(r'\w')).wait_for()
    return nodes


@pytest.mark.slow
def test_segmentation(demo, visit, small_data, tmp_path):
    image = min(small_data['seg'].glob('leftImg8bit/val/*/*'))
    demo = demo('seg/glore_mini.py')
    predict, index, log = demo.predictor.predict, demo.predictor.classes.index, []
    labels = predict(str(image))
    names = [found['label'] for found in demo.predictor.topk(labels, 19)]

    def logged(path):
        log.append('start')
        time.sleep(0.5)
        log.append('end')
        return predict(path)

    object.__setattr__(demo.predictor, 'predict', logged)
    with serve(demo) as url:
        pages = [visit(url), visit(url)]
        for page in pages:
            give(page, image)
        assert [classes(page) for page in pages] == [names] * 2
        assert log == ['start', 'end'] * 2  # one at a time
        assert '19 classes: road, ' in page.locator('body').inner_text()
        legend = page.locator('.legend-item')
        assert legend.all_inner_texts() == names
        color = str(demo.predictor.palette[index(names[0])]).strip('[]')
        assert color in legend.first.get_attribute('style')

        assert demo.units[0] in shown_nodes(page).locator('#unit').inner_text()
        page.wait_for_function("document.querySelector('iframe').clientHeight > 900")
    assert 'GRADIO_TEMP_DIR' not in os.environ

    # the colours over an image; a large one is made smaller
    (_, masks), _, _ = demo.answer(str(image))
    assert all(np.array_equal(mask > 0, labels == index(name)) for mask, name in masks)
    Image.new('RGB', (1400, 700)).save(tmp_path / 'large.png')
    (large, masks), _, _ = demo.answer(str(tmp_path / 'large.png'))
    assert large.size == (1280, 640)
    assert sum(mask for mask, _ in masks).tolist() == [[0.5] * 1280] * 640


@pytest.mark.slow
def test_video(demo, visit, small_data, tmp_path):
    clip = min(small_data['video'].rglob('*.mp4'))
    demo = demo('video/glore_mini.py', classes=['<a> & b', *'cde'])
    best = demo.predictor.topk(demo.predictor.predict(str(clip)), 5)
    (tmp_path / 'cut.mp4').write_bytes(clip.read_bytes()[:3000])
    Image.new('RGB', (64, 64)).save(tmp_path / 'still.png')
    with serve(demo) as url:
        page = visit(url)
        assert '<a> & b' in page.locator('body').inner_text()
        give(page, clip)
        assert classes(page) == [each['label'] for each in best]
        assert page.locator('.thumbnail-item img').count() == 8
        assert shown_nodes(page).locator('#unit option').count() == len(demo.units) == 2
        # the message names the file without its folder
        assert message(page, tmp_path / 'cut.mp4').startswith('cut.mp4: PyAV cannot')
        assert message(page, tmp_path / 'still.png').startswith('still.png is no video')
        assert page.locator('#nodes iframe').count() == 0
        give(page, clip)  # the page still works
        assert classes(page)


@pytest.mark.slow
def test_classifier(demo, visit, chromium, small_data, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(browser_demo, '_KEEP', 8)
    demo = demo('cls/plain_mini.py', classes=[*'abcdefghij'])  # without units
    image = min(small_data['cls'].glob('val/*/*'))
    (tmp_path / 'notes.txt').write_text('no image')
    (tmp_path / 'large.png').write_bytes(bytes(1_500_000))
    with serve(demo, max_size=1) as url:
        page = visit(url, viewport=dict(width=390, height=800))  # a phone
        assert 'there are no nodes to show' in page.locator('.prose').first.inner_text()
        give(page, image)
        assert len(classes(page)) == 5
        assert page.locator('iframe').count() == 0
        assert page.evaluate('document.documentElement.scrollWidth') <= 390
        assert 'cannot be read as an image' in message(page, tmp_path / 'notes.txt')
        object.__setattr__(demo.predictor, 'predict', lambda path: 1 / 0)
        assert message(page, image) == 'division by zero'
        assert 'Traceback' in capsys.readouterr().err
        other = chromium.new_page()  # Gradio logs errors about its progress bar
        other.goto(url)
        give(other, tmp_path / 'large.png')
        other.get_by_text('exceed the maximum allowed size').wait_for()

        folder, limit = Path(os.environ['GRADIO_TEMP_DIR']), time.monotonic() + 60
        while any(path.is_file() and path.stat().st_size for path in folder.rglob('*')):
            assert time.monotonic() < limit, 'files are kept'
            time.sleep(0.1)

        # what another site could ask
        request = urllib.request.Request(url, headers={'Host': 'evil.example'})
        with pytest.raises(urllib.request.HTTPError, match='400'):
            urllib.request.urlopen(request)
        with urllib.request.urlopen(url) as answer:
            assert "default-src 'self'" in answer.headers['Content-Security-Policy']


#: Runs the command; what it connects to or looks up is written to a file.
AUDITED = """
import sys
seen = open('seen.txt', 'w', buffering=1)

def note(event, arguments):
    if arguments and event.startswith(('socket.connect', 'socket.send', 'socket.get')):
        print(arguments[:2], file=seen)

sys.addaudithook(note)
from glore_mm.commands.demo import main
main()
"""


@pytest.mark.slow
def test_the_command(demo, visit, small_data, tmp_path):
    """From the start to Ctrl-C: an address, an answer, no trace of the uploads."""
    demo('seg/glore_mini.py')  # writes the weights
    (temp := tmp_path / 'temp').mkdir()
    environment = dict(os.environ, TMPDIR=str(temp), OMP_NUM_THREADS='1')
    environment.update(CUDA_VISIBLE_DEVICES='', http_proxy='http://127.0.0.1:9')
    server = subprocess.Popen(
        [sys.executable, '-c', AUDITED, 'glore_mm::seg/glore_mini.py', 'a.pth'],
        cwd=tmp_path, env=environment, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    try:
        line = next((line for line in server.stdout if line.startswith('http')), '')
        assert line, server.communicate()
        page = visit(line.split()[0])
        give(page, min(small_data['seg'].glob('leftImg8bit/val/*/*')))
        shown_nodes(page)
        assert list(temp.glob('glore-demo-*/*/*leftImg8bit.png'))
        server.send_signal(signal.SIGINT)
        _, errors = server.communicate(timeout=30)
    finally:
        server.kill()
    assert server.returncode == 0, errors
    assert 'Traceback' not in errors
    assert not list(temp.glob('glore-demo-*'))
    seen = (tmp_path / 'seen.txt').read_text().splitlines()
    assert {'127.0.0.1' in line for line in seen} == {True}, seen
    page.close()


def test_what_cannot_be_served(monkeypatch):
    with socket.create_server(('127.0.0.1', 0)) as other:
        taken = other.getsockname()[1]
        for address in (('127.0.0.1', taken), ('127.0.0.1', 70000), ('192.0.2.1',)):
            problem = f'--host {address[0]}.*Give another'
            with pytest.raises(UserError, match=problem), serve(None, *address):
                pass
    monkeypatch.setitem(sys.modules, 'gradio', None)
    with pytest.raises(UserError, match=r"pip install 'glore-mm\[demo\]'"), serve(None):
        pass
