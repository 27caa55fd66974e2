"""What decodes video files: PyAV, OpenCV and decord behind one small interface.

A reader opens a file and knows its `num_frames` and `fps` (0: not stated). Frames are
counted as they are shown, from 0; `read` takes those that are wanted in ascending order
and returns those that it could decode: upright, uint8 (H, W, 3), RGB, by index.
PyAV's is in glore_mm/engine/videos.py, for segmentation reads videos with it too.
"""

import os

import cv2
import numpy as np

from glore_mm.engine import PyAV, Unreadable
from glore_mm.engine.containers import container_of


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
