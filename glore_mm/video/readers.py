"""What decodes video files: PyAV, OpenCV and decord behind one small interface.

A reader opens a file and knows its `num_frames` and `fps` (0: not stated). Frames are
counted as they are shown, from 0; `read` takes those that are wanted in ascending order
and returns those that it could decode: upright, uint8 (H, W, 3), RGB, by index.
"""

import os

import cv2
import numpy as np

from glore_mm.engine import Unreadable
from glore_mm.video.containers import container_of


def upright(frame) -> np.ndarray:
    """A frame of PyAV's as the file says that it is to be shown, by quarters of a turn.

    Returns:
        np.ndarray: uint8 (H, W, 3), RGB.
    """
    return np.rot90(frame.to_ndarray(format='rgb24'), frame.rotation // 90)


class PyAV:
    """Decodes from the key frame before the first frame that is wanted."""

    def __init__(self, path: str) -> None:
        import av

        self._path, self._av = path, av
        with av.open(path) as container:
            stream = container.streams.best('video')
            if stream is None:
                raise ValueError('there is no video in it')
            if stream.codec_context is None:
                raise ValueError('it does not know the codec')
            packets = [
                (packet.pts, packet.is_keyframe)
                for packet in container.demux(stream)
                if packet.size and not packet.is_discard
            ]
            self.fps = float(stream.average_rate or 0)
            stated = container.format.name != 'avi'  # whose times FFmpeg guesses
        self.num_frames = len(packets)
        times = {time for time, _ in packets}
        self._index: dict[int, int] = {}  # of the frame that is shown at a time
        if stated and None not in times and len(times) == len(packets):
            self._index = {time: index for index, time in enumerate(sorted(times))}
        self._keys = [t for t, is_key in packets if is_key and self._index]

    def read(self, wanted: list[int]) -> dict[int, np.ndarray]:
        """Frames by index; see above."""
        before = [key for key in self._keys if self._index[key] <= wanted[0]]
        frames = self._decode(wanted, max(before, default=None))
        if len(frames) < len(wanted):  # not every file can be sought in
            frames = self._decode(wanted, None)
        return frames

    def _decode(self, wanted: list[int], start: int | None) -> dict[int, np.ndarray]:
        frames, last = {}, None
        with self._av.open(self._path) as container:
            stream = container.streams.best('video')
            stream.codec_context.thread_count = 1
            stream.codec_context.options = {'err_detect': 'explode'}  # else it conceals
            try:
                if start is not None:
                    container.seek(start, stream=stream)
                for position, frame in enumerate(container.decode(stream)):
                    index = self._index.get(frame.pts) if self._index else position
                    if index is None or index < self._index.get(start, 0):
                        continue  # its group of pictures begins before the key frame
                    lost = last is not None and index != last + 1
                    if lost or frame.is_corrupt:
                        break  # and those that follow are computed from it
                    last = index
                    if index in wanted:
                        frames[index] = self._checked(frame)
                    if index >= wanted[-1]:
                        break
            except self._av.FFmpegError:
                pass
        return frames

    def _checked(self, frame) -> np.ndarray:
        if frame.rotation % 90:
            problem = f'rotated by {frame.rotation}°, no multiple of 90°'
            raise Unreadable.of(self._path, problem, 'Re-encode it')
        return upright(frame)


class OpenCV:
    """Decodes from the beginning on: OpenCV seeks to times, not to frames.

    It scales frames whose size changes, does not notice all damage, and takes the end
    of a clip that was cut without re-encoding for damaged.
    """

    def __init__(self, path: str) -> None:
        os.environ.setdefault('OPENCV_FFMPEG_LOGLEVEL', '-8')  # it names no file either
        self._path = path
        video = self._open()
        if not video.grab():
            raise ValueError('it finds no video that it can decode')
        if video.get(cv2.CAP_PROP_ORIENTATION_META) % 90:
            raise Unreadable.of(path, 'rotated by no multiple of 90°', 'Re-encode it')
        self.fps = video.get(cv2.CAP_PROP_FPS)
        self.num_frames = int(video.get(cv2.CAP_PROP_FRAME_COUNT))
        if container_of(path) not in ('mp4', 'avi'):  # which state it; others guess
            self.num_frames = 1
            while video.grab():
                self.num_frames += 1

    def read(self, wanted: list[int]) -> dict[int, np.ndarray]:
        """Frames by index; see above."""
        frames, video = {}, self._open()
        for index in range(wanted[-1] + 1):
            if not video.grab():
                break
            if index in wanted:
                frames[index] = cv2.cvtColor(video.retrieve()[1], cv2.COLOR_BGR2RGB)
        return frames

    def _open(self) -> cv2.VideoCapture:
        threads = [cv2.CAP_PROP_N_THREADS, 1]
        return cv2.VideoCapture(self._path, cv2.CAP_FFMPEG, threads)


class Decord:
    """Decodes from the beginning on.

    After a seek decord 0.6 returns the wrong frames where groups of pictures are open.
    It scales frames whose size changes, ignores slanted rotations, and does not notice
    all damage.
    """

    def __init__(self, path: str) -> None:
        import decord

        decord.logging.set_level(decord.logging.QUIET)  # it would not name the file
        self._error = decord.DECORDError
        if container_of(path) == 'ts':
            raise ValueError('it confuses the frames of MPEG-TS')
        try:
            self._video = decord.VideoReader(path, num_threads=1)
        except self._error as error:
            if 'cannot find video stream' in str(error):
                raise ValueError('it finds no video that it can decode') from error
            raise
        starts = self._video.get_frame_timestamp(range(len(self._video)))[:, 0]
        # What cutting without re-encoding leaves before the beginning is not shown.
        # Where a file has no times they are huge.
        hidden = np.count_nonzero((starts < 0) & (starts > -1e9))
        self.num_frames = len(self._video) - int(hidden)
        self.fps = self._video.get_avg_fps()

    def read(self, wanted: list[int]) -> dict[int, np.ndarray]:
        """Frames by index; see above."""
        frames = {}
        self._video.seek(0)
        for index in range(wanted[-1] + 1):
            try:
                frame = self._video.next()
            except (self._error, StopIteration):
                break
            if index in wanted:
                frames[index] = self._unpadded(frame.asnumpy())
        return frames

    @staticmethod
    def _unpadded(frame: np.ndarray) -> np.ndarray:
        """Rows that FFmpeg has padded come as (H, W, 4) or more where W is small."""
        height, width = frame.shape[:2]
        return frame.reshape(height, -1)[:, : 3 * width].reshape(height, width, 3)


# Name: what reads, the module it needs, what pip calls that.
READERS = {
    'pyav': (PyAV, 'av', 'av'),
    'opencv': (OpenCV, 'cv2', 'opencv-python'),
    'decord': (Decord, 'decord', 'decord'),
}
