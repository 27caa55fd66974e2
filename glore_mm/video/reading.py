"""Reading clips from video files and from folders of frames.

mmaction2's own transforms put other frames in the place of those that they cannot read,
and repeat videos that are too short. Those here return the frames that were asked for,
or say why they cannot.
"""

from importlib import import_module
from os import path as osp
from typing import Any

import mmcv
import numpy as np
from mmaction.datasets.transforms import SampleFrames
from mmaction.registry import TRANSFORMS
from mmcv.transforms import BaseTransform

from glore_mm.engine import Unreadable, bad_image, open_video, read_frames
from glore_mm.errors import UserError
from glore_mm.video.readers import READERS


@TRANSFORMS.register_module()
class OpenVideo(BaseTransform):
    """Open a video file.

    Required keys: filename; or video_reader, as mmaction2's inferencer has opened it.
    Added keys: video_reader, total_frames, avg_fps.

    Args:
        reader (str): 'pyav', 'opencv' or 'decord'. They return the same frames; PyAV
            is the fastest, knows the newest codecs and notices the most damage.
            Default: 'pyav'.

    Raises:
        UserError: There is no such reader, or it is not installed.
    """

    def __init__(self, reader: str = 'pyav') -> None:
        names = ', '.join(READERS)
        if reader not in READERS:
            raise UserError(f'OpenVideo: reader={reader!r}; expected one of {names}')
        self.reader = reader
        self._open, module, package = READERS[reader]
        try:
            import_module(module)
        except ImportError as error:
            raise UserError(
                f'OpenVideo: reader={reader!r} needs {module}: {error}. '
                f'pip install {package}, or take another of {names}.'
            ) from error

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Add the reader and what it knows to `results`.

        Raises:
            Unreadable: The file is missing, empty or truncated, or holds no video
                that the reader can decode.
        """
        if 'video_reader' in results:
            return results
        path = results['filename']
        others = ' or '.join(repr(r) for r in READERS if r != self.reader)
        advice = f'Fetch it again, try OpenVideo with reader={others}'
        video = open_video(path, self._open, advice)
        results['video_reader'] = video
        results['total_frames'] = video.num_frames
        results['avg_fps'] = video.fps
        return results

    def __repr__(self) -> str:
        return f'{type(self).__name__}(reader={self.reader!r})'


@TRANSFORMS.register_module()
class DecodeVideo(BaseTransform):
    """Decode the frames of a clip, upright whichever reader has opened it.

    Required keys: filename, video_reader, frame_inds.
    Modified keys: video_reader, which becomes None.
    Added keys: imgs, a list of uint8 (H, W, 3), RGB; original_shape, img_shape.
    """

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Add the frames to `results`.

        Raises:
            Unreadable: A frame cannot be read, or has another size than the first.
        """
        path, video = results['filename'], results['video_reader']
        results['video_reader'] = None  # keeps the file open and cannot be pickled
        wanted = np.unique(results['frame_inds']).tolist()
        return _with_frames(results, read_frames(video, path, wanted), path)


@TRANSFORMS.register_module()
class DecodeFrames(BaseTransform):
    """Read the frames of a clip from the images in its folder.

    Required keys: frame_dir, filename_tmpl, frame_inds.
    Added keys: imgs, a list of uint8 (H, W, 3), RGB; original_shape, img_shape.
    """

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Add the frames to `results`.

        Raises:
            Unreadable: An image cannot be read, or has another size than the first.
        """
        frames = {}
        for index in np.unique(results['frame_inds']).tolist():
            name = results['filename_tmpl'].format(index)
            path = osp.join(results['frame_dir'], name)
            try:  # pillow refuses more damaged images than OpenCV
                frames[index] = mmcv.imread(path, channel_order='rgb', backend='pillow')
            except Exception as error:  # each format has its own
                raise bad_image(path, error) from error
        return _with_frames(results, frames, results['frame_dir'])


@TRANSFORMS.register_module()
class SampleClips(SampleFrames):
    """mmaction2's SampleFrames, which refuses a video that is too short.

    Args:
        clip_len (int): Frames of a clip.
        frame_interval (int): From one of them to the next, in frames. Default: 1.
        out_of_bound_opt (str): What to do where the video is shorter than a clip:
            'refuse'; 'loop' and 'repeat_last' fill the clip up as in mmaction2.
            Default: 'refuse'.
        kwargs: As for SampleFrames.
    """

    def __init__(
        self,
        clip_len: int,
        frame_interval: int = 1,
        out_of_bound_opt: str = 'refuse',
        **kwargs: Any,
    ) -> None:
        self.refuse = out_of_bound_opt == 'refuse'
        if self.refuse:
            out_of_bound_opt = 'loop'
        super().__init__(
            clip_len, frame_interval, out_of_bound_opt=out_of_bound_opt, **kwargs
        )

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Add the indices of the frames to `results`.

        Raises:
            Unreadable: The video is too short.
        """
        needed = (self.clip_len - 1) * self.frame_interval + 1
        if self.temporal_jitter:  # moves each frame by less than the interval
            needed += self.frame_interval - 1
        if self.target_fps and results.get('avg_fps'):
            ratio = results['avg_fps'] / self.target_fps
            needed = int(self._get_ori_clip_len(ratio))
        if self.refuse and results['total_frames'] < needed:
            raise Unreadable.of(
                results.get('filename') or results['frame_dir'],
                f'{results["total_frames"]} frames, but a clip spans {needed} '
                f'({self.clip_len} frames, {self.frame_interval} apart)',
                "Repeat what is too short with SampleClips(out_of_bound_opt='loop')",
            )
        return super().transform(results)


def _with_frames(
    results: dict[str, Any], frames: dict[int, np.ndarray], path: str
) -> dict[str, Any]:
    first = next(iter(frames.values())).shape[:2]
    for index, image in frames.items():
        height, width = image.shape[:2]
        if (height, width) != first:
            sizes = f'{first[1]}×{first[0]} to {width}×{height}'
            problem = f'the size changes from {sizes} at frame {index}'
            raise Unreadable.of(path, problem, 'Re-encode it')
    # copies, as mmaction2 flips in place and a frame may have been asked for twice
    images = [frames[index].copy() for index in np.ravel(results['frame_inds'])]
    results.update(imgs=images, original_shape=first, img_shape=first)
    return results
