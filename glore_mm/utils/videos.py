"""Open videos, read their frames, and copy them with changed frames.

PyAV is imported when a video is opened, so that images do not need it.
"""

import os
import os.path as osp
import re
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from PIL import Image
from rich.console import Console
from rich.markup import escape
from rich.progress import track

from glore_mm.utils.atomic_write import atomic_write
from glore_mm.utils.errors import UnreadableSampleError, UserError, error_summary
from glore_mm.utils.images import IMAGE_SUFFIXES, read_image
from glore_mm.utils.paths import is_data

#: File name endings of videos, lower case.
VIDEO_SUFFIXES = (
    '.mp4', '.avi', '.mkv', '.webm', '.mov', '.wmv', '.flv', '.mpg', '.mpeg', '.ts',
    '.m4v', '.3gp', '.mts', '.m2ts', '.ogv',
)  # fmt: skip
_DIGITS = re.compile(r'(\d+)').split
_TOLERANCE = 0.1  # s; some encoders declare more than they wrote


def is_video(path: str | os.PathLike[str]) -> bool:
    """Whether a file name has the ending of a video."""
    return str(path).lower().endswith(VIDEO_SUFFIXES)


class VideoReader:
    """Decode a video with PyAV, from the key frame before the first requested frame.

    Attributes:
        path (str): The video file.
        num_frames (int): Number of frames, without those that are not displayed.
        rate (Fraction): Mean frames per second; 0 if the file does not specify it.
        fps (float): `rate` as a float.
        times (list[float]): Second at which each frame begins, and the end of the last
            one; empty if they are unknown.

    Args:
        path (str): The video file.

    Raises:
        ValueError: PyAV cannot decode a video in the file.
        UnreadableSampleError: The file is truncated.
        UserError: PyAV is not installed.
    """

    def __init__(self, path: str) -> None:
        self.path, self._av = path, _pyav()
        with self._av.open(path) as container:
            stream = _find_stream(container)
            if stream is None:
                raise ValueError('there is no video in it')
            if stream.codec_context is None:
                raise ValueError('the codec is unknown')
            demuxed = [
                p for p in container.demux(stream) if p.dts is not None or p.size
            ]
            _check_complete(path, stream, demuxed)
            packets = [
                (packet.pts, packet.is_keyframe)
                for packet in demuxed
                if packet.size and not packet.is_discard
            ]
            self.rate = stream.average_rate or 0
            time_base = stream.time_base
            has_times = container.format.name != 'avi'  # FFmpeg guesses those of AVI
        self.fps = float(self.rate)
        self.num_frames = len(packets)
        self._index: dict[int | None, int] = {}  # frame index by presentation time
        self.times: list[float] = []
        ticks = sorted({time for time, _ in packets if time is not None})
        if has_times and ticks and len(ticks) == len(packets):
            self._index = {time: index for index, time in enumerate(ticks)}
            # the last frame is taken to last as long as the one before
            ticks.append(ticks[-1] + (ticks[-1] - ticks[-2] if len(ticks) > 1 else 0))
            self.times = [float((tick - ticks[0]) * time_base) for tick in ticks]
        elif self.rate:
            self.times = [float(i / self.rate) for i in range(self.num_frames + 1)]
        self._keys = [t for t, is_key in packets if is_key and self._index]
        self._matrix: tuple[float, ...] | None = None  # display matrix, once decoded

    def read(self, wanted: list[int]) -> dict[int, np.ndarray]:
        """Read frames by index, up to the first damaged one.

        Args:
            wanted (list[int]): Frame indices, ascending.

        Returns:
            dict[int, np.ndarray]: Frames by index, upright, uint8 (H, W, 3), RGB.
        """
        before = [key for key in self._keys if self._index[key] <= wanted[0]]
        frames = self._read(wanted, max(before, default=None))
        if len(frames) < len(wanted):  # seeking does not work in every file
            frames = self._read(wanted, None)
        return frames

    def _read(self, wanted: list[int], start: int | None) -> dict[int, np.ndarray]:
        frames = {}
        for index, frame in self.decode(start):
            if index in wanted:
                frames[index] = self.upright(frame)
            if index >= wanted[-1]:
                break
        return frames

    def decode(self, start: int | None = None) -> Iterator[tuple[int, Any]]:
        """Decode frames up to the first damaged one.

        Args:
            start (int, optional): Presentation time of the first key frame, in the time
                base of the stream. Default: the beginning.

        Yields:
            tuple: Index of a frame, and the frame as an av.VideoFrame.
        """
        last = None
        with self._av.open(self.path) as container:
            stream = _find_stream(container)
            stream.codec_context.thread_count = 1
            # else FFmpeg conceals errors
            stream.codec_context.options = {'err_detect': 'explode'}
            try:
                if start is not None:
                    container.seek(start, stream=stream)
                for position, frame in enumerate(container.decode(stream)):
                    index = self._index.get(frame.pts) if self._index else position
                    if index is None or index < self._index.get(start, 0):
                        continue  # it depends on frames before the key frame
                    lost = last is not None and index != last + 1
                    if lost or frame.is_corrupt:
                        break  # later frames are predicted from this one
                    last = index
                    yield index, frame
            except self._av.FFmpegError:
                pass

    def upright(self, frame: Any) -> np.ndarray:
        """Rotate and flip a frame as its display matrix specifies.

        Args:
            frame (av.VideoFrame): From `decode`.

        Returns:
            np.ndarray: uint8 (H, W, 3), RGB.

        Raises:
            UnreadableSampleError: The rotation is not a multiple of 90°.
        """
        # more threads do not help, and a forked worker could not end them
        image = frame.to_ndarray(format='rgb24', threads=1)
        if self._matrix is None:
            self._matrix = _display_matrix(frame)
        # (x, y) is displayed at (a x + c y, b x + d y); front cameras mirror
        a, b, c, d = self._matrix
        tolerance = 0.01 * max(map(abs, self._matrix))  # for rounding
        if abs(b) <= tolerance >= abs(c):
            return image[:: -1 if d < 0 else 1, :: -1 if a < 0 else 1]
        if abs(a) <= tolerance >= abs(d):
            image = image.swapaxes(0, 1)
            return image[:: -1 if b < 0 else 1, :: -1 if c < 0 else 1]
        problem = f'rotated by {frame.rotation}°, not a multiple of 90°'
        raise UnreadableSampleError.of(self.path, problem, 'Re-encode it')


class FrameFolder:
    """The frames of a video as images in a folder, sorted by name.

    Has the attributes of VideoReader; a folder has no frame rate.

    Args:
        path (str): The folder.
    """

    rate, fps = 0, 0.0
    times: tuple[float, ...] = ()

    def __init__(self, path: str) -> None:
        self.path = path
        names = filter(is_data, os.listdir(path))
        files = [n for n in names if n.lower().endswith(IMAGE_SUFFIXES)]
        # sort frame_2 before frame_10
        files.sort(key=lambda n: [int(x) if x.isdigit() else x for x in _DIGITS(n)])
        self._files = [osp.join(path, name) for name in files]
        self.num_frames = len(files)

    def read(self, wanted: list[int]) -> dict[int, np.ndarray]:
        """Read frames by index."""
        return {i: np.asarray(read_image(self._files[i])) for i in wanted}

    def decode(self) -> Iterator[tuple[int, np.ndarray]]:
        """Iterate over all frames with their indices."""
        return ((i, self.read([i])[i]) for i in range(self.num_frames))

    @staticmethod
    def upright(frame: np.ndarray) -> np.ndarray:
        """Return the frame as it is."""
        return frame


def open_video(path: str) -> VideoReader | FrameFolder:
    """Open a video file, or a folder of frames, and check that it is complete.

    Raises:
        UnreadableSampleError: The file is missing, empty or truncated, or PyAV cannot
            decode it.
        UserError: PyAV is not installed.
    """
    if osp.isdir(path) and (frames := FrameFolder(path)).num_frames:
        return frames
    if not osp.isfile(path):
        raise UnreadableSampleError.of(
            path, 'no such file', 'Correct data_root or the path'
        )
    if osp.getsize(path) == 0:
        raise UnreadableSampleError.of(path, 'empty (0 bytes)')
    try:
        video = VideoReader(path)
        if video.num_frames < 1:
            raise ValueError('there are no frames in it')
    except UserError:
        raise
    except Exception as error:  # PyAV has one type for each FFmpeg error
        problem = f'PyAV cannot open it: {error_summary(error)}'
        raise UnreadableSampleError.of(path, problem) from error
    return video


def read_frames(
    video: VideoReader | FrameFolder, path: str, wanted: list[int]
) -> dict[int, np.ndarray]:
    """Read frames of a video and check that none is missing.

    Args:
        video (VideoReader | FrameFolder): From `open_video`.
        path (str): The file, for messages.
        wanted (list[int]): Frame indices, ascending.

    Returns:
        dict[int, np.ndarray]: Frames by index, in that order, upright, uint8 (H, W, 3),
        RGB.

    Raises:
        UnreadableSampleError: A frame is damaged.
    """
    frames = video.read(wanted)
    for index in wanted:
        if index not in frames:
            raise _damaged(path, index, video.num_frames)
    return frames


def iter_frames(video: VideoReader | FrameFolder) -> Iterator[np.ndarray]:
    """Iterate over all frames of a video, with a progress bar in a terminal.

    Args:
        video (VideoReader | FrameFolder): From `open_video`.

    Yields:
        np.ndarray: A frame, upright, uint8 (H, W, 3), RGB.

    Raises:
        UnreadableSampleError: A frame is damaged, or its rotation is not a multiple of
            90°.
    """
    shown, console = 0, Console(stderr=True)
    for _, frame in track(
        video.decode(),
        escape(osp.basename(video.path)),
        total=video.num_frames,
        console=console,
        transient=True,
        disable=not console.is_terminal,
    ):
        yield video.upright(frame)
        shown += 1
    if shown < video.num_frames:
        raise _damaged(video.path, shown, video.num_frames)


def map_video(
    source: str, target: str | Path, change: Callable[[np.ndarray], np.ndarray]
) -> None:
    """Copy a video without its sound and change every frame.

    Args:
        source (str): The video.
        target (str | Path): The copy, H.264 in MP4, written atomically.
        change (Callable): Takes a frame, uint8 (H, W, 3), RGB, and returns the changed
            one.

    Raises:
        UnreadableSampleError: The source cannot be read completely.
        UserError: PyAV is not installed.
    """
    video, av = open_video(source), _pyav()
    with atomic_write(target) as draft, av.open(draft, 'w', format='mp4') as copy:
        out = copy.add_stream('libx264', rate=video.rate or 25)
        out.pix_fmt = 'yuv420p'
        # FFmpeg converts RGB to BT.601; without this tag players assume BT.709 for
        # large videos
        out.codec_context.colorspace = av.video.reformatter.Colorspace.ITU601
        time_base = Fraction(1, 90_000)
        out.codec_context.time_base = time_base
        times = video.times or [i / 25 for i in range(video.num_frames)]
        for frame, time in zip(iter_frames(video), times, strict=False):
            image = Image.fromarray(change(frame))
            if not out.codec_context.is_open:
                # yuv420p needs even sides
                out.width, out.height = image.width & ~1, image.height & ~1
            image = image.crop((0, 0, out.width, out.height))
            changed = av.VideoFrame.from_image(image)
            changed.pts, changed.time_base = round(time / time_base), time_base
            copy.mux(out.encode(changed))
        copy.mux(out.encode())


def _find_stream(container: Any) -> Any:
    """Return the video of a file, which is no cover picture; None if there is none."""
    cover = _pyav().stream.Disposition.attached_pic
    videos = [each for each in container.streams.video if not each.disposition & cover]
    best = container.streams.best('video')
    return best if best in videos else next(iter(videos), None)


def _check_complete(path: str, stream: Any, packets: list[Any]) -> None:
    """Check that a file has as many frames as its header declares.

    MP4, MOV and AVI declare the number of frames. Matroska and WebM declare the
    duration, in a tag that FFmpeg writes.

    Raises:
        UnreadableSampleError: The file is truncated.
    """
    missing = stream.frames - len(packets)
    if missing > _TOLERANCE * (stream.average_rate or 25):
        problem = f'truncated, {len(packets)} of {stream.frames} frames'
        raise UnreadableSampleError.of(path, problem)
    tag = re.fullmatch(r'(\d+):(\d+):([\d.]+)', stream.metadata.get('DURATION', ''))
    if tag is None:
        return
    hours, minutes, seconds = map(float, tag.groups())
    declared = 3600 * hours + 60 * minutes + seconds
    ends = [p.pts + (p.duration or 0) for p in packets if p.pts is not None]
    end = float(max(ends) * stream.time_base) if ends else declared
    if end < declared - _TOLERANCE:
        problem = f'truncated, {end:.1f} of {declared:.1f} s'
        raise UnreadableSampleError.of(path, problem)


def _display_matrix(frame: Any) -> tuple[float, ...]:
    """Return a, b, c, d of the frame's display matrix; the identity if it has none."""
    # from a small copy, as reading side_data puts a frame into a reference cycle
    matrix = frame.reformat(16, 16, threads=1).side_data.get('DISPLAYMATRIX')
    if matrix is None:
        return 1.0, 0.0, 0.0, 1.0
    a, b, _, c, d, *_ = np.frombuffer(matrix, np.int32).tolist()
    return a, b, c, d


def _damaged(path: str, index: int, count: int) -> UnreadableSampleError:
    problem = f'damaged, frame {index} of {count} cannot be read'
    return UnreadableSampleError.of(path, problem)


def _pyav() -> ModuleType:
    try:
        import av
    except ImportError as error:
        raise UserError(f'videos need PyAV: {error}. pip install av') from error
    return av


def sample_frames(path: str, count: int) -> list[np.ndarray]:
    """Read evenly spaced frames of a video.

    Args:
        path (str): The file.
        count (int): Number of frames; a shorter video gives all of its frames.

    Returns:
        list[np.ndarray]: Upright, uint8 (H, W, 3), RGB.

    Raises:
        UnreadableSampleError: The file has no video, or a frame is damaged.
        UserError: PyAV is not installed.
    """
    video = open_video(path)
    chosen = np.linspace(0, video.num_frames - 1, min(count, video.num_frames))
    wanted = chosen.round().astype(int).tolist()
    return list(read_frames(video, path, wanted).values())
