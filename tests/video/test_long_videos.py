"""Videos that are classified in clips with shared nodes."""

import json

import av
import numpy as np
import pytest
import torch
from paths import ROOT
from PIL import Image

from glore_mm.apis.infer import infer
from glore_mm.checkpoints.files import write_checkpoint
from glore_mm.config.build import build_model
from glore_mm.config.load import load_config
from glore_mm.synthetic.mini_kinetics import CLASSES
from glore_mm.utils.errors import UserError

CONFIG = str(ROOT / 'configs' / 'video' / 'glore_mini.py')  # 8 frames, 4 apart
META = dict(dataset_meta=dict(classes=list(CLASSES)))


def write_video(path, frames):
    with av.open(str(path), 'w') as container:
        stream = container.add_stream('mpeg4', rate=10)
        stream.width, stream.height, stream.pix_fmt = 48, 48, 'yuv420p'
        stream.bit_rate = 4_000_000
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, 'rgb24')))
        container.mux(stream.encode())
    return str(path)


def noise(count, seed=0):
    shape = (count, 48, 48, 3)
    return np.random.default_rng(seed).integers(0, 256, shape, np.uint8)


@pytest.fixture
def checkpoint(tmp_path, monkeypatch):
    """Random weights with units that are not the identity."""
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    model = build_model(load_config(CONFIG))
    for name, value in model.state_dict().items():
        if name.endswith('blocker.weight'):
            value.fill_(1)
    write_checkpoint(dict(state_dict=model.state_dict(), meta=META), 'w.pth')
    return 'w.pth'


def scores(checkpoint, path, share_nodes=True):
    (found,) = infer(load_config(CONFIG), checkpoint, [path], share_nodes=share_nodes)
    return found


def by_label(classes):
    return {each['label']: each['score'] for each in classes}


def test_one_clip_is_the_usual_prediction(checkpoint, tmp_path):
    path = write_video(tmp_path / 'a.mp4', noise(29))
    shared, usual = scores(checkpoint, path), scores(checkpoint, path, False)
    assert by_label(shared['classes']) == pytest.approx(
        by_label(usual['classes']), abs=2e-4
    )
    assert [(c['start'], c['end']) for c in shared['clips']] == [(0, 2.9)]


def test_the_first_clip_is_seen_by_the_last(checkpoint, tmp_path):
    """86 frames: three clips, of which the last two overlap."""
    frames = noise(86)
    path = write_video(tmp_path / 'a.mp4', frames)
    frames[:30] //= 4
    other = write_video(tmp_path / 'b.mp4', frames)
    found = [scores(checkpoint, each)['clips'] for each in (path, other)]
    assert [(c['start'], c['end']) for c in found[0]] == [
        (0, 3.2), (3.2, 6.4), (5.6, 8.6)
    ]  # fmt: skip
    last = [by_label(clips[-1]['classes']) for clips in found]
    assert max(abs(last[0][label] - last[1][label]) for label in last[0]) > 1e-3
    mean = by_label(scores(checkpoint, path)['classes'])
    for label in CLASSES:
        each = [by_label(clip['classes'])[label] for clip in found[0]]
        assert mean[label] == pytest.approx(np.mean(each), abs=2e-4)


def test_a_folder_of_frames_has_no_seconds(tool, checkpoint, tmp_path):
    folder = tmp_path / 'frames'
    folder.mkdir()
    for number, frame in enumerate(noise(40)):
        Image.fromarray(frame).save(folder / f'{number}.png')
    done = tool('infer', CONFIG, checkpoint, folder, '--global', cwd=tmp_path)
    assert '  frames 0 to 31: ' in done.stdout
    assert '  frames 8 to 39: ' in done.stdout


@pytest.mark.slow
def test_the_tool(tool, checkpoint, tmp_path):
    path = write_video(tmp_path / 'a.mp4', noise(70))
    command = ('infer', CONFIG, checkpoint, path, '--global', '--json', 'found.json')
    done = tool(*command, cwd=tmp_path)
    assert '  0 to 3.2 s: ' in done.stdout and '  4 to 7 s: ' in done.stdout
    (record,) = json.loads((tmp_path / 'found.json').read_text())
    assert len(record['clips']) == 3


@pytest.mark.parametrize(
    ('name', 'message'),
    [
        ('video/plain_mini', 'the network has no GloRe unit, so its clips share nothi'),
        (
            'video/glore_tsm_r50_1x1x8_sthv2',
            'needs a network for clips of successive',
        ),
        ('seg/glore_mini', r"--global is for video.*mode='global_slide', crop_size"),
    ],
)
def test_errors(name, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    cfg = load_config(str(ROOT / 'configs' / f'{name}.py'))
    suffix = 'png' if name.startswith('seg') else 'mp4'
    (tmp_path / f'a.{suffix}').touch()
    state = build_model(cfg).state_dict()
    write_checkpoint(dict(state_dict=state, meta=META), 'w.pth')
    with pytest.raises(UserError, match=message):
        list(infer(cfg, 'w.pth', [f'a.{suffix}'], share_nodes=True))
