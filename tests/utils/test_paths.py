"""Paths: inputs, outputs, names in a data set."""

import os
from pathlib import Path
from types import SimpleNamespace

import pytest

from glore_mm.utils.errors import UserError
from glore_mm.utils.paths import expand_inputs, output_files, relative_name


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Images in folders, some of them behind links, and files that are not data."""
    for name in (
        'a.PNG', 'b/a.png', 'b/.ipynb_checkpoints/a.png', 'b/._a.png',
        '__MACOSX/b/a.png', 'notes.txt', '../elsewhere/c.png',
    ):  # fmt: skip
        path = tmp_path / 'in' / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    (tmp_path / 'in' / 'link').symlink_to(tmp_path / 'elsewhere')
    (tmp_path / 'elsewhere' / 'back').symlink_to(tmp_path / 'in')
    (tmp_path / 'in' / 'gone.png').symlink_to('nothing.png')
    monkeypatch.chdir(tmp_path)
    return tmp_path / 'in'


def test_folders_are_searched_through_links_and_other_files_are_skipped(folder, capsys):
    found = expand_inputs(['in'], ('.png',))
    assert list(found.values()) == ['a.PNG', 'b/a.png', 'gone.png', 'link/c.png']
    assert list(found)[1] == 'in/b/a.png'
    assert capsys.readouterr().err == (
        'left out 1 file(s) of other kinds: in/notes.txt\n'
    )


def test_names_of_files_and_patterns(folder):
    assert expand_inputs(['in/b/a.png'], ('.png',)) == {'in/b/a.png': 'a.png'}
    assert expand_inputs(['in/*/a.png'], ('.png',)) == {'in/b/a.png': 'b/a.png'}
    assert expand_inputs([f'{folder}/b'], ('.png',)) == {f'{folder}/b/a.png': 'a.png'}


def test_folders_of_frames_are_inputs(tmp_path):
    for name in ('x/1.jpg', 'x/2.jpg', 'y/1.jpg'):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    root = str(tmp_path)
    found = expand_inputs([root], ('.mp4',), ('.jpg',))
    assert found == {f'{root}/x': 'x', f'{root}/y': 'y'}
    assert expand_inputs([f'{root}/x'], ('.mp4',), ('.jpg',)) == {f'{root}/x': 'x'}
    (tmp_path / 'x' / '1.mp4').touch()  # then images are not frames
    assert list(expand_inputs([root], ('.mp4',), ('.jpg',))) == [f'{root}/x/1.mp4']


@pytest.mark.parametrize(
    ('name', 'message'),
    [
        ('none', 'none: no such file, no folder with files ending in .png, no'),
        ('rtsp://host/camera', 'is an address; nothing is downloaded or streamed'),
        ('0', 'Cameras are not supported; record to a file first'),
    ],
)
def test_wrong_inputs(name, message):
    with pytest.raises(UserError, match=message):
        expand_inputs([name], ('.png',))


def test_outputs_keep_the_subfolders_of_their_inputs(tmp_path):
    files = output_files(
        {'in/a.png': 'a.png', 'in/b/a.png': 'b/a.png'},
        str(tmp_path),
        lambda path: [f'{path.stem}.jpg'],
    )
    names = [os.path.relpath(path, tmp_path) for (path,) in files.values()]
    assert names == ['a.jpg', 'b/a.jpg']
    assert not any(Path(path).exists() for (path,) in files.values())


def test_names_keep_the_subfolders_of_a_data_set():
    dataset = SimpleNamespace(data_prefix=dict(video='/data/videos', labels='/data/y'))
    assert relative_name('/data/videos/left/1.mp4', dataset) == 'left/1.mp4'
    assert relative_name('/data/y/1.mp4', dataset) == '1.mp4'
    for other in (dataset, object()):  # a list may have files elsewhere
        assert relative_name('/elsewhere/left/1.mp4', other) == 'elsewhere/left/1.mp4'
    repeated = SimpleNamespace(dataset=dataset)
    assert relative_name('/data/videos/left/1.mp4', repeated) == 'left/1.mp4'
    second = SimpleNamespace(data_prefix=dict(img='/data/more'))
    both = SimpleNamespace(datasets=[repeated, second])
    assert relative_name('/data/videos/left/1.mp4', both) == 'videos/left/1.mp4'
    assert relative_name('/data/more/left/1.mp4', both) == 'more/left/1.mp4'
