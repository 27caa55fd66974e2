"""Fuzzing of video files: their frames, or an error with the path."""

import functools

import av
import numpy as np
from fuzzing import SCRATCH, Guard, assert_clear, damaged, fuzz
from mmengine.registry import TRANSFORMS

import glore_mm.video  # noqa: F401  (registers)
from glore_mm.utils.videos import iter_frames, open_video

ROOT = SCRATCH / 'videos'
VIDEO = ROOT / 'video.mp4'
KINDS = {
    'a.mp4': 'libx264',
    'a.avi': 'mpeg4',
    'a.mkv': 'libx264',
    'a.webm': 'libvpx-vp9',
    'a.ts': 'mpeg2video',
}
NUM_FRAMES = 12


@functools.cache
def files() -> dict[str, bytes]:
    """A video of each format."""
    ROOT.mkdir(exist_ok=True)
    for name, codec in KINDS.items():
        with av.open(str(ROOT / name), 'w') as container:
            stream = container.add_stream(codec, rate=25, options=dict(g='6'))
            stream.width, stream.height, stream.pix_fmt = 64, 48, 'yuv420p'
            stream.codec_context.thread_count = 1
            for index in range(NUM_FRAMES):
                image = np.full((48, 64, 3), 20 * index, np.uint8)
                image[:, 5 * index : 5 * index + 9] = 250
                frame = av.VideoFrame.from_ndarray(image, 'rgb24')
                container.mux(stream.encode(frame))
            container.mux(stream.encode())
    return {name: (ROOT / name).read_bytes() for name in KINDS}


def go_through(path: str) -> list[tuple]:
    return [(frame.shape, frame.dtype.name) for frame in iter_frames(open_video(path))]


def sample(path: str) -> list[tuple]:
    steps = [
        dict(type='mmaction.VideoInit'),
        dict(
            type='mmaction.StrictSampleFrames',
            clip_len=4,
            frame_interval=2,
            test_mode=True,
        ),
        dict(type='mmaction.VideoDecode'),
    ]
    clip = dict(filename=path, start_index=0)
    for step in steps:
        clip = TRANSFORMS.build(step)(clip)
    return [(frame.shape, frame.dtype.name) for frame in clip['imgs']]


def prepare() -> None:
    files()
    go_through(str(ROOT / 'a.mp4'))
    sample(str(ROOT / 'a.mp4'))


whole, clip = Guard(go_through, prepare), Guard(sample, prepare)


def check(outcome: tuple, *names: object) -> str | None:
    frames, message = outcome
    if message:
        assert_clear(message, *names)
        return message
    assert frames
    for (_, _, colours), kind in frames:
        assert (colours, kind) == (3, 'uint8')


@fuzz(100, file=damaged(files))
def test_videos(file):
    VIDEO.write_bytes(file.content)
    return check(whole(str(VIDEO)), VIDEO)


@fuzz(100, file=damaged(files))
def test_clips(file):
    VIDEO.write_bytes(file.content)
    return check(clip(str(VIDEO)), VIDEO)
