"""Transforms that read clips from video files and from folders of frames.

mmaction2's own transforms replace frames that they cannot read by other frames, and
repeat videos that are too short. The transforms here return the requested frames or
raise an error with the reason.
"""

import zlib
from dataclasses import dataclass
from os import path as osp
from typing import Any

import numpy as np
from mmaction.datasets.transforms import SampleFrames
from mmaction.registry import TRANSFORMS
from mmcv.transforms import BaseTransform

from glore_mm.utils.errors import UnreadableSampleError
from glore_mm.utils.images import read_image
from glore_mm.utils.videos import open_video, read_frames


@TRANSFORMS.register_module()
@dataclass(eq=False)
class VideoInit(BaseTransform):
    """Open a video file with PyAV.

    Required keys: filename; or video_reader, opened by mmaction2's inferencer.
    Added keys: video_reader, total_frames, avg_fps.
    """

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Add the reader, the number of frames and the frame rate to `results`.

        Raises:
            UnreadableSampleError: The file is missing, empty or truncated, or PyAV
                cannot decode it.
        """
        if 'video_reader' in results:
            return results
        video = open_video(results['filename'])
        results['video_reader'] = video
        results['total_frames'] = video.num_frames
        results['avg_fps'] = video.fps
        return results


@TRANSFORMS.register_module()
class VideoDecode(BaseTransform):
    """Decode the frames of a clip and rotate them upright.

    Required keys: filename, video_reader, frame_inds.
    Modified keys: video_reader, set to None.
    Added keys: imgs, a list of uint8 (H, W, 3), RGB; original_shape, img_shape.
    """

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Add the frames to `results`.

        Raises:
            UnreadableSampleError: A frame cannot be read, or differs in size.
        """
        path, video = results['filename'], results['video_reader']
        # a reader keeps the file open and cannot be pickled
        results['video_reader'] = None
        wanted = np.unique(results['frame_inds']).tolist()
        return _with_frames(results, read_frames(video, path, wanted), path)


@TRANSFORMS.register_module()
class RawFramesDecode(BaseTransform):
    """Read the frames of a clip from the images in its folder.

    Required keys: frame_dir, filename_tmpl, frame_inds.
    Added keys: imgs, a list of uint8 (H, W, 3), RGB; original_shape, img_shape.
    """

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Add the frames to `results`.

        Raises:
            UnreadableSampleError: An image cannot be read, or differs in size.
        """
        frames = {}
        for index in np.unique(results['frame_inds']).tolist():
            name = results['filename_tmpl'].format(index)
            path = osp.join(results['frame_dir'], name)
            frames[index] = np.asarray(read_image(path))
        return _with_frames(results, frames, results['frame_dir'])


@TRANSFORMS.register_module()
class StrictSampleFrames(SampleFrames):
    """mmaction2's SampleFrames that rejects a video that is too short.

    Args:
        clip_len (int): Number of frames in a clip.
        frame_interval (int): Step between two frames of a clip, in frames of the video.
            Default: 1.
        out_of_bound_opt (str): What to do with a video that is shorter than a clip.
            'refuse' raises an error. 'release' takes the first `clip_len` frames
            without a step and repeats from the first frame if there are fewer, as the
            GloRe release does in tests. 'loop' and 'repeat_last' fill up the clip as in
            mmaction2. Default: 'refuse'.
        kwargs: As for SampleFrames.
    """

    def __init__(
        self,
        clip_len: int,
        frame_interval: int = 1,
        out_of_bound_opt: str = 'refuse',
        **kwargs: Any,
    ) -> None:
        self.when_short = out_of_bound_opt
        if out_of_bound_opt in ('refuse', 'release'):
            out_of_bound_opt = 'loop'
        super().__init__(
            clip_len, frame_interval, out_of_bound_opt=out_of_bound_opt, **kwargs
        )

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Add the frame indices to `results`.

        Raises:
            UnreadableSampleError: The video is too short.
        """
        needed = (self.clip_len - 1) * self.frame_interval + 1
        if self.temporal_jitter:  # shifts each frame by less than the interval
            needed += self.frame_interval - 1
        if self.target_fps and results.get('avg_fps'):
            ratio = results['avg_fps'] / self.target_fps
            needed = int(self._get_ori_clip_len(ratio))
        short = results['total_frames'] < needed
        if short and self.when_short == 'refuse':
            raise UnreadableSampleError.of(
                results.get('filename') or results['frame_dir'],
                f'{results["total_frames"]} frames, but a clip spans {needed} '
                f'({self.clip_len} frames, {self.frame_interval} apart)',
                "Repeat short videos with StrictSampleFrames(out_of_bound_opt='loop')",
            )
        results = super().transform(results)
        if short and self.when_short == 'release':
            frames = np.arange(self.clip_len) % results['total_frames']
            indices = np.tile(frames, self.num_clips) + results['start_index']
            results['frame_inds'] = indices.astype(np.int32)
        return results


def _with_frames(
    results: dict[str, Any], frames: dict[int, np.ndarray], path: str
) -> dict[str, Any]:
    first = next(iter(frames.values())).shape[:2]
    for index, image in frames.items():
        height, width = image.shape[:2]
        if (height, width) != first:
            sizes = f'{first[1]}×{first[0]} to {width}×{height}'
            problem = f'the size changes from {sizes} at frame {index}'
            raise UnreadableSampleError.of(path, problem, 'Re-encode it')
    # copies: mmaction2 flips in place, and an index may occur twice
    images = [frames[index].copy() for index in np.ravel(results['frame_inds'])]
    results.update(imgs=images, original_shape=first, img_shape=first)
    return results


@TRANSFORMS.register_module()
@dataclass(eq=False)
class CenterAndRandomCrops(BaseTransform):
    """Take several crops of every clip, at random positions.

    The first crop of the first clip is at the centre. The authors of the GloRe release
    recommend this for tests with 10 clips and 5 crops
    (https://github.com/facebookresearch/GloRe/issues/4). The random positions are
    seeded with the file name, so that tests are reproducible.

    Required keys: imgs, num_clips, clip_len, filename or frame_dir.
    Modified keys: imgs, whose number is multiplied by num_crops; img_shape.

    Args:
        crop_size (int): Side of the crops, in pixels.
        num_crops (int): Crops per clip.
    """

    crop_size: int
    num_crops: int

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Crop all frames of a clip at the same position."""
        images, size = results['imgs'], self.crop_size
        free = np.array(images[0].shape[:2]) - size
        name = results.get('filename') or results['frame_dir']
        rng = np.random.default_rng(zlib.crc32(name.encode()))
        cropped = []
        for crop in range(self.num_crops):
            for clip in range(results['num_clips']):
                top, left = rng.integers(free, endpoint=True)
                if crop == clip == 0:
                    top, left = free // 2
                first = clip * results['clip_len']
                for image in images[first : first + results['clip_len']]:
                    cropped.append(image[top : top + size, left : left + size])
        results['imgs'] = cropped
        results['img_shape'] = (size, size)
        return results
