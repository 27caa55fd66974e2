"""Clips from files to batches: readers, lists, damaged clips, augmentation."""

import colorsys
import gc
import os
import pickle
import re
import shutil
import socket
import subprocess
import sys
import traceback
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from mmaction.datasets.transforms import SampleFrames
from mmaction.registry import DATASETS, TRANSFORMS
from mmengine.hooks import Hook
from mmengine.model import BaseModel
from mmengine.registry import init_default_scope
from mmengine.runner import Runner
from PIL import Image

import glore_mm.video  # noqa: F401  (registers)
from glore_mm.utils.errors import UnreadableSampleError, UserError, error_message
from glore_mm.utils.videos import iter_frames, open_video
from glore_mm.video.visualization import write_captioned

SIZE = (96, 64)
NUM_FRAMES = 40


@pytest.fixture(autouse=True)
def scope():
    init_default_scope('mmaction')


# ------------------------------------------------------------------- video files


def picture(index, size=SIZE):
    """A frame that differs from its neighbours and shows its orientation."""
    width, height = size
    image = np.zeros((height, width, 3), np.uint8)
    image[:, : width // 2, 0] = 200
    image[: height // 2, :, 1] = 120
    image[..., 2] = index * 37 % 256
    return image


def write(
    path,
    codec='libx264',
    size=SIZE,
    num_frames=NUM_FRAMES,
    rotation=0,
    mirrored=None,
    uneven=False,
    muxer=None,
    **options,
):
    """Write a video of 25 frames per second; `uneven`: on average.

    `mirrored` shows the point (x, y) at (a x + c y, b x + d y).
    """
    with av.open(str(path), 'w', options=muxer or {}) as container:
        stream = container.add_stream(codec, rate=25, options=options)
        stream.width, stream.height = size
        stream.pix_fmt = 'yuv420p'
        stream.codec_context.thread_count = 1
        if uneven:
            stream.codec_context.time_base = Fraction(1, 75)
        if rotation:
            stream.set_display_rotation(rotation)
        if mirrored:
            a, b, c, d = (value * 2**16 for value in mirrored)
            stream.set_display_matrix([a, b, 0, c, d, 0, 0, 0, 2**30])
        for index in range(num_frames):
            frame = av.VideoFrame.from_ndarray(picture(index, size), 'rgb24')
            if uneven:
                frame.pts, frame.time_base = 3 * index + index**2 % 3, Fraction(1, 75)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def cut(source, path, start):
    """Copy a video from a frame on that is not a key frame, without re-encoding."""
    with av.open(str(source)) as old, av.open(str(path), 'w') as new:
        stream = old.streams.video[0]
        copy = new.add_stream_from_template(stream)
        offset = int(start / 25 / stream.time_base)
        for packet in old.demux(stream):
            if packet.dts is not None:
                packet.pts, packet.dts = packet.pts - offset, packet.dts - offset
                packet.stream = copy
                new.mux(packet)


@pytest.fixture(scope='session')
def videos(tmp_path_factory) -> Path:
    """Videos that can be read; must not be changed."""
    root = tmp_path_factory.mktemp('videos')
    write(root / 'h264.mp4', g='12')
    write(root / 'h264.mkv', g='12')
    write(root / 'h264.avi', g='12')
    write(root / 'open.mp4', g='12', **{'x264-params': 'open-gop=1:scenecut=0'})
    write(root / 'mpeg4.mp4', 'mpeg4', g='12', bf='2')
    write(root / 'mpeg4.avi', 'mpeg4', g='12')
    write(root / 'vp9.webm', 'libvpx-vp9', g='12')
    write(root / 'uneven.mp4', uneven=True, g='12')
    write(root / 'uneven.mkv', uneven=True, g='12')
    write(root / 'odd.avi', 'mpeg4', size=(97, 65), g='12')
    write(root / 'mpeg2.mpg', 'mpeg2video', g='12', bf='2')
    for rotation in (90, 180, 270):
        write(root / f'rotated{rotation}.mp4', rotation=rotation)
    cut(root / 'h264.mp4', root / 'cut.mp4', start=6)
    return root


@pytest.fixture(scope='session')
def damaged(tmp_path_factory) -> Path:
    """Files that cannot be used, and good.mp4, which can."""
    root = tmp_path_factory.mktemp('damaged')
    good = write(root / 'good.mp4', g='12')
    write(root / 'short.mp4', num_frames=9)
    write(root / 'av1.mp4', 'libsvtav1')
    write(root / 'slanted.mp4', rotation=45)
    (root / 'empty.mp4').touch()
    (root / 'text.mp4').write_text('This is no video.\n' * 50)
    whole = good.read_bytes()
    (root / 'truncated.mp4').write_bytes(whole[: len(whole) * 6 // 10])
    index_first = write(root / 'first.mp4', muxer={'movflags': 'faststart'}, g='12')
    first = bytearray(index_first.read_bytes())
    (root / 'truncated first.mp4').write_bytes(first[: len(first) * 6 // 10])
    for codec, name in (('mpeg4', 'truncated.avi'), ('libvpx-vp9', 'truncated.webm')):
        whole = write(root / name, codec).read_bytes()
        (root / name).write_bytes(whole[: len(whole) * 6 // 10])
    middle = first.index(b'mdat') + (len(first) - first.index(b'mdat')) // 2
    first[middle : middle + 400] = bytes(400)
    (root / 'damaged.mp4').write_bytes(first)
    (root / 'codec.mp4').write_bytes(good.read_bytes().replace(b'avc1', b'none'))
    with av.open(str(root / 'sound.mp4'), 'w') as container:
        stream = container.add_stream('aac', rate=16000)
        silence = np.zeros((1, 16000), np.float32)
        sound = av.AudioFrame.from_ndarray(silence, 'fltp', 'mono')
        sound.sample_rate = 16000
        container.mux(stream.encode(sound))
        container.mux(stream.encode())
    small = write(root / 'small.ts', size=(64, 48))
    large = write(root / 'large.ts')
    (root / 'size.ts').write_bytes(large.read_bytes() + small.read_bytes())
    return root


def read(path, indices):
    """Frames of a file, read with the two transforms."""
    results = dict(filename=str(path), frame_inds=np.array(indices))
    for step in (dict(type='VideoInit'), dict(type='VideoDecode')):
        results = TRANSFORMS.build(step)(results)
    return results


def reference(path):
    """All frames of a file, decoded sequentially."""
    with av.open(str(path)) as container:
        return [
            np.rot90(frame.to_ndarray(format='rgb24'), frame.rotation // 90)
            for frame in container.decode(video=0)
        ]


# ----------------------------------------------------------------------- readers

READABLE = [
    'h264.mp4',
    'h264.mkv',
    'h264.avi',
    'open.mp4',
    'mpeg4.mp4',
    'mpeg4.avi',
    'vp9.webm',
    'uneven.mp4',
    'uneven.mkv',
    'odd.avi',
    'mpeg2.mpg',
    'rotated90.mp4',
    'rotated180.mp4',
    'rotated270.mp4',
    'cut.mp4',
]


@pytest.mark.parametrize('name', READABLE)
def test_requested_frames_are_returned(videos, name):
    expected = reference(videos / name)
    assert len(expected) == (34 if name == 'cut.mp4' else NUM_FRAMES)
    num_frames = len(expected)
    for indices in ([num_frames - 1], [0], [27, 3, 3, 14], range(num_frames - 9)):
        results = read(videos / name, indices)
        for index, image in zip(indices, results['imgs'], strict=True):
            assert image.shape == expected[index].shape and image.dtype == np.uint8
            difference = np.abs(image.astype(int) - expected[index])
            assert difference.mean() < 1.5, (index, difference.mean())
        assert results['original_shape'] == expected[0].shape[:2]
        assert results['img_shape'] == expected[0].shape[:2]
    assert results['total_frames'] == num_frames
    assert results['avg_fps'] == pytest.approx(25, rel=0.1)


@pytest.mark.parametrize('name', ['uneven.mp4', 'uneven.mkv', 'h264.avi'])
def test_times_of_frames(name, videos, tmp_path):
    """Also in a copy, whose frames last as long."""
    write_captioned(str(videos / name), str(tmp_path / 'copy.mp4'), 'text')
    uneven = name.startswith('uneven')
    expected = [(3 * i + (i**2 % 3 if uneven else 0)) / 75 for i in range(NUM_FRAMES)]
    for path in (videos / name, tmp_path / 'copy.mp4'):
        video = open_video(str(path))
        assert video.times[:-1] == pytest.approx(expected, abs=1e-3)
        assert video.times[-1] == pytest.approx(NUM_FRAMES / 25, abs=0.03)


def test_the_cover_of_a_song_is_no_video(tmp_path):
    with av.open(str(tmp_path / 'song.mp4'), 'w') as container:
        cover = container.add_stream('mjpeg', rate=1)
        cover.width, cover.height, cover.pix_fmt = 64, 48, 'yuvj420p'
        cover.disposition = av.stream.Disposition.attached_pic
        sound = container.add_stream('aac', rate=16000)
        image = av.VideoFrame.from_ndarray(picture(0, (64, 48)), 'rgb24')
        container.mux(cover.encode(image.reformat(format='yuvj420p')))
        container.mux(cover.encode())
        silence = np.zeros((1, 16000), np.float32)
        frame = av.AudioFrame.from_ndarray(silence, 'fltp', 'mono')
        frame.sample_rate = 16000
        container.mux(sound.encode(frame))
        container.mux(sound.encode())
    with pytest.raises(UnreadableSampleError, match='there is no video in it'):
        open_video(str(tmp_path / 'song.mp4'))


def test_frames_equal_the_written_ones(videos):
    """A check of the reference: order, colours, orientation."""
    images = reference(videos / 'h264.mp4')
    for index, image in enumerate(images):
        assert np.abs(image.astype(int) - picture(index)).mean() < 6
    assert reference(videos / 'rotated90.mp4')[0].shape == (96, 64, 3)


@pytest.mark.parametrize(
    'mirrored, shown',
    [
        ((-1, 0, 0, 1), lambda image: image[:, ::-1]),
        ((1, 0, 0, -1), lambda image: image[::-1]),
        ((0, 1, 1, 0), lambda image: image.swapaxes(0, 1)),
        ((0, -1, -1, 0), lambda image: image[::-1, ::-1].swapaxes(0, 1)),
    ],
    ids=['left and right', 'up and down', 'transposed', 'transposed, turned'],
)
def test_a_mirrored_video_is_read_as_it_is_displayed(mirrored, shown, tmp_path):
    """Some front cameras write such a display matrix."""
    path = write(tmp_path / 'a.mp4', num_frames=9, mirrored=mirrored)
    (read_one,), frames = read(path, [7])['imgs'], list(iter_frames(open_video(path)))
    for image in (read_one, frames[7]):
        assert np.abs(image.astype(int) - shown(picture(7))).mean() < 6


@pytest.mark.parametrize('name', ['h264.mp4', 'rotated90.mp4', 'rotated270.mp4'])
def test_a_captioned_copy_is_upright_and_complete(name, videos, tmp_path):
    """What tools/infer.py --out-dir writes, below the caption's bar."""
    write_captioned(str(videos / name), str(tmp_path / 'copy.mp4'), 'a label')
    copy, source = reference(tmp_path / 'copy.mp4'), reference(videos / name)
    assert len(copy) == len(source)
    for drawn, frame in zip(copy, source, strict=True):
        assert drawn.shape == frame.shape
        assert np.abs(drawn[20:].astype(int) - frame[20:]).mean() < 6
        assert np.abs(drawn[:8].astype(int) - frame[:8]).mean() > 20
    assert [path.name for path in tmp_path.iterdir()] == ['copy.mp4']


@pytest.mark.parametrize('name', READABLE)
def test_iterating_over_a_whole_video(videos, name):
    frames = list(iter_frames(open_video(str(videos / name))))
    np.testing.assert_array_equal(frames, reference(videos / name))


def test_a_header_with_one_frame_too_many(videos, tmp_path):
    """Some encoders write this; the file is complete."""
    data = bytearray((videos / 'mpeg4.avi').read_bytes())
    count = data.index(b'strh') + 40  # dwLength of the first stream
    assert int.from_bytes(data[count : count + 4], 'little') == NUM_FRAMES
    data[count : count + 4] = (NUM_FRAMES + 1).to_bytes(4, 'little')
    path = tmp_path / 'counts.avi'
    path.write_bytes(data)
    frames = list(iter_frames(open_video(str(path))))
    np.testing.assert_array_equal(frames, reference(videos / 'mpeg4.avi'))


def test_readers_are_closed_and_results_can_be_pickled(videos):
    results = read(videos / 'h264.mp4', [5, 5])
    assert pickle.loads(pickle.dumps(results))['total_frames'] == NUM_FRAMES
    opened = [os.path.realpath(link) for link in Path('/proc/self/fd').iterdir()]
    assert not [path for path in opened if 'h264.mp4' in path]
    frames = [thing for thing in gc.get_objects() if type(thing) is av.VideoFrame]
    assert not [frame for frame in frames if frame.width > 16]
    first, second = results['imgs']
    first[:] = 0  # as flipping in place would change
    assert second.any()


def test_pyav_is_installed(monkeypatch):
    monkeypatch.setitem(sys.modules, 'av', None)
    with pytest.raises(UserError, match='videos need PyAV: .* pip install av'):
        open_video(__file__)


# ------------------------------------------------------------------- damaged clips

BAD = {
    'missing.mp4': 'no such file',
    'empty.mp4': r'empty \(0 bytes\)',
    'text.mp4': 'cannot open it',
    'sound.mp4': 'cannot open it: .* no video',
    'codec.mp4': 'cannot open it: .*(codec|no video)',
    'truncated.mp4': 'cannot open it',  # the index is at the end
    'truncated first.mp4': r'truncated, \d+ of 40 frames',
    'truncated.avi': r'truncated, \d+ of 40 frames',
    'truncated.webm': r'truncated, \d.\d of 1.6 s',
    'damaged.mp4': r'damaged, frame \d+ of 40 cannot be read',
    'slanted.mp4': 'rotated by',
    'size.ts': 'size changes from 96×64 to 64×48 at frame',
    'short.mp4': r'9 frames, but a clip spans 29 .*loop',
}


def clips(root, names, test_mode=False, **kwargs):
    """A data set of videos; clips of 8 frames with interval 4, from the middle."""
    lines = [f'{name} {label % 3}' for label, name in enumerate(names)]
    (root / 'list.txt').write_text('\n'.join(lines))
    pipeline = [
        dict(type='VideoInit'),
        dict(type='StrictSampleFrames', clip_len=8, frame_interval=4, test_mode=True),
        dict(type='VideoDecode'),
        dict(type='FormatShape', input_format='NCTHW'),
        dict(type='PackActionInputs'),
    ]
    return dict(
        type='KineticsVideos',
        data_root=str(root),
        ann_file='list.txt',
        classes=('a', 'b', 'c'),
        serialize_data=False,  # Hypothesis would collect garbage each time
        pipeline=pipeline,
        test_mode=test_mode,
        **kwargs,
    )


@pytest.mark.parametrize('name, problem', BAD.items())
def test_damaged_clip(damaged, name, problem):
    """Training takes another clip and warns; a test stops."""
    dataset = DATASETS.build(clips(damaged, ['good.mp4', name]))
    sample = dataset[1]
    assert sample['inputs'].shape == (1, 3, 8, 64, 96)
    assert sample['data_samples'].gt_label == 0
    ((path, reason),) = sample['data_samples'].skipped
    assert path == str(damaged / name)
    assert reason.startswith(f'{path}: ') and re.search(problem, reason)
    assert 'skipped' not in dataset[0]['data_samples']

    dataset = DATASETS.build(clips(damaged, ['good.mp4', name], test_mode=True))
    with pytest.raises(UserError) as error:
        dataset[1]
    assert type(error.value) is UserError and str(error.value) == reason


@pytest.mark.parametrize('name', sorted(BAD.keys() - {'short.mp4', 'size.ts'}))
def test_a_failed_copy_leaves_no_file(damaged, name, tmp_path):
    with pytest.raises(UnreadableSampleError, match=f'{name}: .*{BAD[name]}'):
        write_captioned(str(damaged / name), str(tmp_path / 'copy.mp4'), 'a label')
    assert not list(tmp_path.iterdir())


def test_damage_in_other_frames_is_ignored(damaged):
    """Frames that do not depend on the damaged part can be used."""
    images = read(damaged / 'damaged.mp4', [0, 7])['imgs']
    for index, image in zip((0, 7), images, strict=True):
        assert np.abs(image.astype(int) - picture(index)).mean() < 6


def test_pyav_does_not_conceal_errors(tmp_path):
    """After noise in one frame, all frames that depend on it are rejected."""
    path = write(tmp_path / 'a.mp4', g='40', muxer={'movflags': 'faststart'})
    whole, expected = path.read_bytes(), reference(path)
    with av.open(str(path)) as container:
        packets = [(p.pos, p.size) for p in container.demux(video=0) if p.size]
    refused = wrong = 0
    for index, (position, size) in enumerate(packets[6:30], 6):
        noise = np.random.default_rng(3).bytes(size - 12)
        begin, end = whole[: position + 12], whole[position + size :]
        path.write_bytes(begin + noise + end)
        for wanted in (index, index + 1):
            try:
                image = read(path, [wanted])['imgs'][0]
            except UnreadableSampleError:
                refused += 1
            else:
                wrong += np.abs(image.astype(int) - expected[wanted]).mean() > 1
    assert refused > 10
    assert wrong < 2  # noise may be a valid frame by chance


def test_pyav_detects_a_lost_frame(tmp_path):
    """Decoders may drop a damaged frame, and later ones look correct."""
    path = write(tmp_path / 'a.mp4', 'mpeg4', g='40', muxer={'movflags': 'faststart'})
    with av.open(str(path)) as container:
        packets = [(p.pos, p.size) for p in container.demux(video=0) if p.size]
    content = bytearray(path.read_bytes())
    position, size = packets[14]
    content[position + 12 : position + size] = np.random.default_rng(0).bytes(size - 12)
    path.write_bytes(content)
    assert len(reference(path)) == NUM_FRAMES - 1
    assert len(read(path, [12, 13])['imgs']) == 2
    with pytest.raises(UnreadableSampleError, match='damaged, frame 15 of 40'):
        read(path, [13, 15])


def test_training_without_a_usable_clip(damaged):
    bad = list(BAD)
    dataset = DATASETS.build(clips(damaged, bad))
    with pytest.raises(UserError, match=f'{len(bad)} clips in a row cannot') as error:
        dataset[0]
    assert str(damaged / 'missing.mp4') in str(error.value)
    dataset = DATASETS.build(clips(damaged, [*bad, 'good.mp4']))
    assert len(dataset[0]['data_samples'].skipped) <= len(bad)


def test_training_stops_after_many_damaged_clips(tmp_path, monkeypatch):
    dataset = DATASETS.build(clips(tmp_path, [f'{i}.mp4' for i in range(400)]))
    tried, prepare = [], dataset.prepare_data
    monkeypatch.setattr(
        dataset, 'prepare_data', lambda idx: tried.append(idx) or prepare(idx)
    )
    with pytest.raises(UserError, match='100 clips in a row'):
        dataset[3]
    assert len(tried) == len(set(tried)) == 100


class Tiny(BaseModel):
    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(()))

    def forward(self, inputs, data_samples, mode):
        return dict(loss=(self.weight * torch.stack(inputs).float()).mean())


def loader(dataset, workers=0, persistent=False):
    return dict(
        dataset=dataset,
        batch_size=2,
        num_workers=workers,
        persistent_workers=persistent,
        sampler=dict(type='DefaultSampler', shuffle=False),
    )


class Replace(Hook):
    """Replaces a file by another one after the first epoch."""

    def __init__(self, old, new):
        self.old, self.new = old, new

    def after_train_epoch(self, runner):
        shutil.copy(self.new, self.old)


def train(work_dir, dataset, train_cfg=None, hooks=(), **kwargs):
    Runner(
        Tiny(),
        str(work_dir),
        train_dataloader=loader(dataset, **kwargs),
        train_cfg=train_cfg or dict(by_epoch=True, max_epochs=3),
        optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.1)),
        default_hooks=dict(checkpoint=None, logger=None),
        custom_hooks=[dict(type='SkippedSamplesHook'), *hooks],
        default_scope='mmaction',
        experiment_name=str(work_dir).replace('/', '_'),
    ).train()


def read_log(work_dir):
    return next(work_dir.glob('*/*.log')).read_text()


@pytest.mark.parametrize('workers', [0, 2])
def test_training_warns_once_and_counts(damaged, tmp_path, workers):
    root = shutil.copytree(damaged, tmp_path / 'data')
    names = ['good.mp4', 'empty.mp4', 'good.mp4', 'good.mp4', 'damaged.mp4', 'good.mp4']
    hooks = [
        Replace(root / 'empty.mp4', root / 'good.mp4'),
        Replace(root / 'damaged.mp4', root / 'text.mp4'),
    ]
    work_dir = tmp_path / 'work'
    train(work_dir, clips(root, names), hooks=hooks, workers=workers)
    log = read_log(work_dir)
    assert log.count('left out of training: ') == 2
    for name in ('empty.mp4', 'damaged.mp4'):
        assert log.count(f'left out of training: {root / name}: ') == 1
    assert re.findall(r'epoch \d left out \d+ sample', log) == [
        'epoch 1 left out 2 sample',
        'epoch 2 left out 1 sample',
        'epoch 3 left out 1 sample',
    ]


def test_training_by_iterations_counts_at_its_end(damaged, tmp_path):
    dataset = clips(damaged, ['good.mp4', 'empty.mp4', 'good.mp4', 'empty.mp4'])
    train(tmp_path, dataset, dict(by_epoch=False, max_iters=2))
    log = read_log(tmp_path)
    assert log.count(f'left out of training: {damaged / "empty.mp4"}: ') == 1
    assert log.count('training left out 1 sample(s)') == 1


def test_training_on_good_clips_logs_nothing(damaged, tmp_path):
    train(tmp_path, clips(damaged, ['good.mp4', 'good.mp4']))
    assert 'left out' not in read_log(tmp_path)


@pytest.mark.parametrize('workers', [0, 2])
def test_testing_stops(damaged, workers):
    names = ['good.mp4', 'good.mp4', 'truncated first.mp4']
    batches = Runner.build_dataloader(
        loader(clips(damaged, names, test_mode=True), workers)
    )
    with pytest.raises(UserError) as error:
        list(batches)
    traceback.clear_frames(error.tb)  # terminates the workers
    assert type(error.value) is UserError
    message = error_message(error.value)
    assert message.startswith(f'{damaged / "truncated first.mp4"}: truncated')


TWO_PROCESSES = """
    import sys
    import mmengine.dist
    from mmengine.registry import init_default_scope
    from pathlib import Path
    sys.path.insert(0, {tests!r})
    import test_datasets as tests

    init_default_scope('mmaction')
    mmengine.dist.init_dist('pytorch')
    root, work_dir = map(Path, sys.argv[1:])
    # by turns: the first process has the first, third, fifth
    names = ['empty.mp4', 'empty.mp4', 'good.mp4', 'text.mp4', 'good.mp4', 'good.mp4']
    dataset = tests.clips(root, names)
    tests.train(work_dir, dataset, workers=1, persistent=True)
"""


@pytest.mark.slow
def test_processes_warn_once_together(damaged, tmp_path):
    root = shutil.copytree(damaged, tmp_path / 'data')
    script = tmp_path / 'run.py'
    code = TWO_PROCESSES.format(tests=str(Path(__file__).parent))
    script.write_text(re.sub('^    ', '', code, flags=re.MULTILINE))
    with socket.socket() as probe:
        probe.bind(('127.0.0.1', 0))
        port = probe.getsockname()[1]
    command = [sys.executable, '-m', 'torch.distributed.run', '--nproc-per-node=2']
    done = subprocess.run(
        [*command, f'--master-port={port}', script, root, tmp_path / 'work'],
        env=dict(os.environ, OMP_NUM_THREADS='1', CUDA_VISIBLE_DEVICES=''),
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    log = read_log(tmp_path / 'work')
    for name in ('empty.mp4', 'text.mp4'):
        for text in (log, done.stdout + done.stderr):
            assert text.count(f'left out of training: {root / name}: ') == 1
    for epoch in (1, 2, 3):
        assert f'epoch {epoch} left out 2 sample(s)' in log


# ------------------------------------------------------------------------- lists


def from_list(root, text, kind='KineticsVideos', ann_file='list.txt', **kwargs):
    (root / 'list.txt').write_bytes(text.encode())
    return DATASETS.build(
        dict(
            type=kind,
            ann_file=ann_file,
            data_root=str(root),
            pipeline=[],
            **kwargs,
        )
    )


def test_a_list_with_spaces_windows_line_ends_and_blank_lines(tmp_path):
    text = '\ufeffair drumming/a b.mp4 3\r\n\r\n  c.mp4\t0 \r\n/d/é.mp4  399'
    prefix = dict(video='videos')
    dataset = from_list(tmp_path, text, data_prefix=prefix, outside_root=True)
    found = [dataset.get_data_info(index) for index in range(3)]
    found = [(clip['filename'], clip['label']) for clip in found]
    assert found == [
        (f'{tmp_path}/videos/air drumming/a b.mp4', 3),
        (f'{tmp_path}/videos/c.mp4', 0),
        ('/d/é.mp4', 399),
    ]
    assert len(dataset) == 3


def test_a_list_of_the_release(tmp_path):
    """Number, label and path; and lines that only look like that."""
    text = '0\t399\tabseiling/a.avi\n17 2 b 3 c.avi\n18 4 d.avi 5\n7 8 9\n'
    dataset = from_list(tmp_path, text)
    found = [dataset.get_data_info(index) for index in range(4)]
    found = [(clip['filename'], clip['label']) for clip in found]
    assert found == [
        (f'{tmp_path}/abseiling/a.avi', 399),
        (f'{tmp_path}/b 3 c.avi', 2),
        (f'{tmp_path}/18 4 d.avi', 5),
        (f'{tmp_path}/7 8', 9),
    ]


@pytest.mark.parametrize('kind', ['KineticsVideos', 'KineticsFrames'])
@pytest.mark.parametrize(
    ('path', 'problem'),
    [
        ('/d/a.mp4', "line 2: '/d/a.mp4' leads outside .*outside_root=True"),
        ('../../a.mp4', "line 2: '../../a.mp4' leads outside"),
        ('b/../../../a.mp4', 'line 2: .* leads outside'),
        ('{root}/../a.mp4', 'line 2: .* leads outside'),
        ('{root}x/a.mp4', 'line 2: .* leads outside'),
        ('http://host/a.mp4', 'line 2: .* is an address; expected a path'),
        ('../a.mp4', None),
        ('{root}/elsewhere/a.mp4', None),
    ],
)
def test_a_list_with_paths_outside_the_data_root(tmp_path, kind, path, problem):
    root = tmp_path / 'root'
    root.mkdir()
    path = path.format(root=root)
    numbers = '0' if kind == 'KineticsVideos' else '9 0'
    text = f'good.mp4 {numbers}\n{path} {numbers}'
    more = dict(kind=kind, data_prefix={'video': 'below', 'img': 'below'})
    if problem is None:
        clip = from_list(root, text, **more).get_data_info(1)
        found = Path(clip.get('filename') or clip['frame_dir'])
        assert found in (root / 'a.mp4', root / 'elsewhere' / 'a.mp4')
        return
    with pytest.raises(UserError, match=f'list.txt, {problem}') as error:
        from_list(root, text, **more)
    if 'leads outside' in str(error.value):
        assert f' {root};' in str(error.value)
        assert len(from_list(root, text, outside_root=True, **more)) == 2


def test_without_a_data_root_paths_are_in_the_current_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'list.txt').write_text(f'a.mp4 0\n{tmp_path}/b.mp4 0\n')
    clips = dict(type='KineticsVideos', ann_file='list.txt', pipeline=[])
    assert len(DATASETS.build(clips)) == 2
    (tmp_path / 'list.txt').write_text('../b.mp4 0\n')
    with pytest.raises(UserError, match=f"'../b.mp4' leads outside {tmp_path};"):
        DATASETS.build(clips)
    # a prefix is from the config, so it may be anywhere, as may the files in it
    dataset = from_list(tmp_path, '/d/a.mp4 0', data_prefix=dict(video='/d'))
    assert dataset.get_data_info(0)['filename'] == '/d/a.mp4'


def test_a_list_of_folders_of_frames(tmp_path):
    dataset = from_list(
        tmp_path, 'air drumming/a b 163 3\r\nc 9 0\r\n', 'KineticsFrames'
    )
    clip = dataset.get_data_info(0)
    assert clip['frame_dir'] == f'{tmp_path}/air drumming/a b'
    assert (clip['total_frames'], clip['label'], clip['start_index']) == (163, 3, 1)
    assert clip['filename_tmpl'].format(7) == 'img_00007.jpg'


@pytest.mark.parametrize(
    'kind, text, problem',
    [
        ('KineticsVideos', '', 'list.txt is empty; expected .*: path label'),
        ('KineticsVideos', ' \r\n\r\n', 'list.txt is empty'),
        ('KineticsVideos', 'a.mp4 0\n\nb.mp4', "line 3: 'b.mp4'; expected path label"),
        ('KineticsVideos', 'a.mp4 x', "line 1: 'a.mp4 x'; expected path label"),
        ('KineticsVideos', 'a.mp4 1.0', 'line 1: .*; expected path label'),
        ('KineticsVideos', '3', 'line 1: .*; expected path label'),
        ('KineticsVideos', 'a.mp4 400', 'line 1: label 400; the classes are 0 to 399'),
        ('KineticsVideos', 'a.mp4 -1', 'line 1: label -1; the classes are 0 to 399'),
        ('KineticsFrames', 'a 3', 'line 1: .*; expected path total_frames label'),
        ('KineticsFrames', 'a 3 400', 'line 1: label 400; the classes are 0 to 399'),
        ('KineticsFrames', 'a 0 3', 'line 1: total_frames 0; expected at least 1'),
    ],
)
def test_wrong_lists(tmp_path, kind, text, problem):
    with pytest.raises(UserError, match=problem) as error:
        from_list(tmp_path, text, kind)
    assert str(tmp_path / 'list.txt') in str(error.value)


def test_a_list_that_cannot_be_read(tmp_path):
    (tmp_path / 'latin.txt').write_bytes('é.mp4 0'.encode('latin1'))
    for name, message in (
        ('nothing.txt', r'no list of clips at .*nothing.txt: No such file'),
        ('latin.txt', r'latin.txt, the list of clips, is not UTF-8 text'),
    ):
        with pytest.raises(UserError, match=message):
            from_list(tmp_path, 'a 0', ann_file=name)


def test_classes(tmp_path):
    classes = from_list(tmp_path, 'a.mp4 0').metainfo['classes']
    assert len(classes) == 400 and list(classes) == sorted(classes)
    assert (classes[0], classes[399]) == ('abseiling', 'zumba')
    (tmp_path / 'classes.txt').write_text('red chases blue\r\nblue chases red\r\n\n')
    dataset = from_list(tmp_path, 'a.mp4 1', classes='classes.txt')
    assert dataset.metainfo['classes'] == ('red chases blue', 'blue chases red')
    with pytest.raises(UserError, match='label 2; the classes are 0 to 1'):
        from_list(tmp_path, 'a.mp4 2', classes='classes.txt')
    with pytest.raises(UserError, match='no file of classes at .*nothing.txt'):
        from_list(tmp_path, 'a.mp4 0', classes='nothing.txt')
    (tmp_path / 'classes.txt').write_text('\n')
    with pytest.raises(UserError, match='classes.txt is empty'):
        from_list(tmp_path, 'a.mp4 0', classes='classes.txt')


# ------------------------------------------------------------- sampling, raw frames


@pytest.mark.parametrize(
    'more, needed',
    [
        (dict(), 29),
        (dict(num_clips=10), 29),
        (dict(temporal_jitter=True), 32),
        (dict(test_mode=True), 29),
        (dict(test_mode=True, num_clips=10), 29),
    ],
)
def test_clips_equal_those_of_mmaction2_and_never_loop(more, needed):
    settings = dict(clip_len=8, frame_interval=4, **more)
    sample = TRANSFORMS.build(dict(type='StrictSampleFrames', **settings))
    for total in range(needed, needed + 30):
        clip = dict(total_frames=total, start_index=1)
        np.random.seed(total)
        found = sample(dict(clip))['frame_inds']
        np.random.seed(total)
        np.testing.assert_array_equal(
            found, SampleFrames(**settings)(dict(clip))['frame_inds']
        )
        assert (np.diff(found.reshape(-1, 8)) > 0).all()
        assert found.min() >= 1 and found.max() <= total
    short = dict(total_frames=needed - 1, start_index=1, frame_dir='some/frames')
    with pytest.raises(
        UnreadableSampleError, match=f'some/frames: {needed - 1} frames, but'
    ):
        sample(dict(short))
    for option in ('loop', 'repeat_last', 'release'):
        settings['out_of_bound_opt'] = option
        sample = TRANSFORMS.build(dict(type='StrictSampleFrames', **settings))
        assert sample(dict(short))['frame_inds'].max() <= needed - 1


@pytest.mark.parametrize(
    ('total', 'expected'),
    [
        (57, [0, 8, 16, 24, 32, 40, 48, 56]),
        (56, [0, 1, 2, 3, 4, 5, 6, 7]),
        (3, [0, 1, 2, 0, 1, 2, 0, 1]),
    ],
)
def test_a_short_video_as_in_the_release(total, expected):
    sample = TRANSFORMS.build(
        dict(
            type='StrictSampleFrames',
            clip_len=8,
            frame_interval=8,
            out_of_bound_opt='release',
            test_mode=True,
        )
    )
    clip = dict(total_frames=total, start_index=1)
    assert (sample(clip)['frame_inds'] - 1).tolist() == expected


def test_a_short_video_with_another_frame_rate():
    settings = dict(clip_len=8, frame_interval=4, target_fps=30, test_mode=True)
    sample = TRANSFORMS.build(dict(type='StrictSampleFrames', **settings))
    clip = dict(total_frames=16, start_index=0, avg_fps=15, filename='a.mp4')
    assert sample(dict(clip))['frame_inds'].max() <= 15
    with pytest.raises(UnreadableSampleError, match='15 frames, but a clip spans 16'):
        sample(dict(clip, total_frames=15))


@pytest.fixture
def frames(tmp_path):
    """Folders of 30 JPEG frames, `good` and `bad one`, and their list."""
    for name in ('good', 'bad one'):
        (tmp_path / 'images' / name).mkdir(parents=True)
        for index in range(1, 31):
            file = tmp_path / 'images' / name / f'img_{index:05}.jpg'
            Image.fromarray(picture(index)).save(file, quality=95)
    (tmp_path / 'list.txt').write_text('good 30 0\nbad one 30 1\n')
    return tmp_path


def frame_clips(root, test_mode):
    pipeline = [
        dict(type='StrictSampleFrames', clip_len=8, frame_interval=4, test_mode=True),
        dict(type='RawFramesDecode'),
        dict(type='FormatShape', input_format='NCTHW'),
        dict(type='PackActionInputs'),
    ]
    return DATASETS.build(
        dict(
            type='KineticsFrames',
            data_root=str(root),
            data_prefix=dict(img='images'),
            ann_file='list.txt',
            pipeline=pipeline,
            test_mode=test_mode,
        )
    )


def test_frames_are_read(frames):
    sample = frame_clips(frames, test_mode=True)[1]
    assert sample['inputs'].shape == (1, 3, 8, 64, 96)
    assert sample['data_samples'].gt_label == 1
    for step in range(8):  # including the first frame
        image = sample['inputs'][0, :, step].permute(1, 2, 0).numpy()
        assert np.abs(image - picture(1 + 4 * step).astype(int)).mean() < 6


@pytest.mark.parametrize(
    'damage, problem',
    [
        (lambda path: path.unlink(), 'img_00009.jpg: no such file'),
        (lambda path: path.write_bytes(b''), 'img_00009.jpg: cannot be read as an'),
        (
            lambda path: path.write_bytes(path.read_bytes()[:-99]),
            'img_00009.jpg: cannot be read as an image',
        ),
        (
            lambda path: Image.fromarray(picture(9, (64, 48))).save(path),
            'size changes from 96×64 to 64×48 at frame 9',
        ),
    ],
)
def test_a_damaged_frame(frames, damage, problem):
    damage(frames / 'images' / 'bad one' / 'img_00009.jpg')
    sample = frame_clips(frames, test_mode=False)[1]
    assert sample['data_samples'].gt_label == 0
    ((path, reason),) = sample['data_samples'].skipped
    assert path == f'{frames}/images/bad one'
    assert reason.startswith(path) and problem in reason
    with pytest.raises(UserError, match='bad one.*' + problem):
        frame_clips(frames, test_mode=True)[1]


# ------------------------------------------------------------------ augmentation


def augmented(image, num_frames=1, **step):
    results = dict(
        imgs=[image.copy() for _ in range(num_frames)],
        img_shape=image.shape[:2],
        modality='RGB',
    )
    return TRANSFORMS.build(step)(results)


def test_scale_and_aspect():
    np.random.seed(0)
    image = np.zeros((256, 340, 3), np.uint8)
    shapes = [
        augmented(image, type='RandomScaleAspect')['img_shape'] for _ in range(400)
    ]
    heights, widths = np.array(shapes).T
    short = np.minimum(heights, widths)
    assert 224 <= short.min() < 230 and 334 < short.max() <= 340
    assert abs(short.mean() - 282) < 6  # uniform
    change = widths / heights / (340 / 256)  # the square of the factor
    assert 0.64 < change.min() < 0.72 and 1.4 < change.max() < 1.57
    middle = (
        np.abs(np.sqrt(change) - 1) < 0.1
    )  # the mean of two draws is rarely at the limits
    assert 0.6 < middle.mean() < 0.85


def test_scale_and_aspect_at_their_limits():
    np.random.seed(0)
    wide, high = (np.zeros(shape, np.uint8) for shape in ((64, 96, 3), (96, 64, 3)))
    for image in (wide, high):
        scale = dict(type='RandomScaleAspect', short_side=(224, 224))
        shapes = [augmented(image, **scale)['img_shape'] for _ in range(50)]
        assert {min(shape) for shape in shapes} <= {224, 225}  # a crop of 224 fits
    scale = dict(type='RandomScaleAspect', aspect=(2, 2))
    wider = [np.divide(*augmented(wide, **scale)['img_shape']) < 1 for _ in range(200)]
    assert 70 < sum(wider) < 130


def test_rescaling_keeps_the_content():
    np.random.seed(1)
    results = augmented(picture(3, (340, 256)), 2, type='RandomScaleAspect')
    height, width = results['img_shape']
    for image in results['imgs']:
        assert image.shape == (height, width, 3) and image.dtype == np.uint8
        small = image[:: height // 8, :: width // 8]
        assert small[1, 1].tolist() == [200, 120, 111]
        assert small[-2, -2].tolist() == [0, 0, 111]
    np.testing.assert_allclose(
        results['scale_factor'], [width / 340, height / 256], rtol=1e-6
    )
    assert results['keep_ratio'] is False


def shift_hls(colour, shift):
    """A colour with shifted hue, lightness and saturation, by definition."""
    hue, lightness, saturation = colorsys.rgb_to_hls(*(np.array(colour) / 255))
    hls = np.array([hue * 180, lightness * 255, saturation * 255]).round() + shift
    hls = np.clip(hls, 0, [180, 255, 255]) / [180, 255, 255]
    return np.array(colorsys.hls_to_rgb(*hls)) * 255


@pytest.mark.parametrize('seed', range(6))
def test_colours(seed, monkeypatch):
    rng = np.random.default_rng(seed)
    image = rng.integers(0, 256, (12, 12, 3), dtype=np.uint8)
    image[0, 0], image[0, 1] = (255, 0, 30), (255, 250, 250)  # near the limits
    np.random.seed(seed)
    shift = np.trunc(np.random.uniform([-15, -35, -25], [15, 35, 25]))
    np.random.seed(seed)
    first, second = augmented(image, 2, type='HLSJitter')['imgs']
    np.testing.assert_array_equal(first, second)
    assert first.dtype == np.uint8
    expected = np.array([[shift_hls(c, shift) for c in row] for row in image])
    assert np.abs(first - expected).max() < 12  # hue has a unit of 2°
    assert np.abs(first - expected).mean() < 2
    assert np.abs(first.astype(int) - image).mean() > 4


def test_noise():
    np.random.seed(0)
    lows, highs = [], []
    for _ in range(200):
        results = augmented(picture(0), 2, type='PixelNoise')
        first, second = (image - picture(0) for image in results['imgs'])
        assert first.dtype == np.float32
        assert not np.array_equal(first, second)
        lows += [min(first.min(), second.min())]
        highs += [max(first.max(), second.max())]
        for noise in (first, second):  # uniform between the limits of the clip
            assert noise.mean() == pytest.approx((lows[-1] + highs[-1]) / 2, abs=0.5)
    assert -20 < min(lows) < -19 and -1 < max(lows) < 0.1
    assert 19 < max(highs) < 20 and -0.1 < min(highs) < 1
    assert abs(np.mean(lows) + 10) < 1.5 and abs(np.mean(highs) - 10) < 1.5


def test_augmentation_of_the_release_as_a_pipeline(damaged):
    config = clips(damaged, ['good.mp4'])
    config['pipeline'][3:3] = [
        dict(type='RandomScaleAspect'),
        dict(type='RandomCrop', size=224),
        dict(type='Flip', flip_ratio=0.5),
        dict(type='HLSJitter'),
        dict(type='PixelNoise'),
    ]
    inputs = DATASETS.build(config)[0]['inputs']
    assert inputs.shape == (1, 3, 8, 224, 224) and inputs.dtype == torch.float32
    assert inputs.min() < 0 and inputs.isfinite().all()


# ----------------------------------------------------------------- class folders


@pytest.fixture
def gestures(tmp_path):
    """Two classes in train with two clips each; one of them in val."""
    for name in ('train/wave/a.mp4', 'train/wave/b.avi', 'train/nod/c.mp4',
                 'train/nod/d.MP4', 'val/wave/e.mp4'):  # fmt: skip
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b'')
    return tmp_path


def video_folders(root, split, **kwargs):
    return DATASETS.build(
        dict(type='VideoFolders', data_root=str(root), split=split, pipeline=[],
             test_mode=split == 'val', **kwargs)
    )  # fmt: skip


def clip_labels(dataset):
    infos = map(dataset.get_data_info, range(len(dataset)))
    return {Path(info['filename']).name: info['label'] for info in infos}


def test_clips_in_class_folders(gestures):
    train, val = (video_folders(gestures, split) for split in ('train', 'val'))
    assert train.metainfo['classes'] == val.metainfo['classes'] == ('nod', 'wave')
    assert clip_labels(train) == {'c.mp4': 0, 'd.MP4': 0, 'a.mp4': 1, 'b.avi': 1}
    assert clip_labels(val) == {'e.mp4': 1}
    other = video_folders(gestures, 'val', classes=['wave', 'nod'])
    assert clip_labels(other) == {'e.mp4': 0}
    halves = [
        clip_labels(video_folders(gestures / 'train', split, val_share=0.5))
        for split in ('train', 'val')
    ]
    assert [sorted(half.values()) for half in halves] == [[0, 1], [0, 1]]
    assert halves[0] | halves[1] == clip_labels(train)


def test_wrong_class_folders_of_clips(gestures, tmp_path):
    (gestures / 'val' / 'jump').mkdir()
    with pytest.raises(UserError, match="val has 'jump', which .*/train lacks"):
        video_folders(gestures, 'val')
    with pytest.raises(UserError, match='no class folders in .*/none/train; expected'):
        video_folders(gestures / 'none', 'train')
    (gestures / 'val' / 'jump').rename(gestures / 'val' / 'nod')
    with pytest.raises(UserError, match=r"no clips \(.*\) in 'nod'. Fill or remove"):
        video_folders(gestures, 'val')
    (gestures / 'val' / 'wave' / 'e.mp4').unlink()
    with pytest.raises(UserError, match='there are no clips .* in the class folders'):
        video_folders(gestures, 'val')
