"""Classify long videos clip by clip, with nodes that all clips share."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from mmaction.structures import ActionDataSample
from mmcv.transforms import Compose
from mmengine.model import BaseModel
from torch import Tensor

from glore_mm.engine.task import predict_sample
from glore_mm.windows import WindowGrid, forward_windows


def predict_long_video(
    model: BaseModel, pipeline: Sequence[dict[str, Any]], path: str
) -> ActionDataSample:
    """Classify a video in successive clips that cover it; their units share the nodes.

    Args:
        model (BaseModel): A 3D recognizer with units, in evaluation mode.
        pipeline (Sequence[dict]): Transforms for a video file; one of them samples
            clips of `clip_len` frames, `frame_interval` apart.
        path (str): The video.

    Returns:
        ActionDataSample: `pred_score`, the mean of the clips' scores, (classes,); also
        `clip_scores` (clips, classes), `clip_frames`, the first frame and the one after
        the last of each clip, and `clip_times`, the same in seconds; none if the times
        are not known.

    Raises:
        UnreadableSampleError: The file cannot be read.
    """
    (place,) = (i for i, step in enumerate(pipeline) if 'clip_len' in step)
    read, prepare = Compose(pipeline[:place]), Compose(pipeline[place + 1 :])
    length = pipeline[place]['clip_len']
    interval = pipeline[place].get('frame_interval', 1)
    found = read(dict(filename=path))
    total = found['total_frames']
    count = max(-(-total // interval), length)  # a shorter video is repeated
    grid = WindowGrid((count,), (length,), (length,))

    def run(index: int) -> ActionDataSample:
        (span,) = grid[index]
        sample = read(dict(filename=path, start_index=0, modality='RGB'))
        sample.update(
            frame_inds=np.arange(span.start, span.stop) * interval % total,
            clip_len=length,
            frame_interval=interval,
            num_clips=1,
        )
        return predict_sample(model, prepare(sample))

    def weight(index: int, size: Sequence[int]) -> Tensor:
        return grid.weight(index, size[:1])[:, None, None]

    clips = list(forward_windows(model, run, len(grid), weight))
    scores = torch.stack([clip.pred_score for clip in clips])
    result = clips[0].clone()
    result.pred_score = scores.mean(dim=0)
    result.clip_scores = scores
    result.clip_frames = [
        (span.start * interval, min(span.stop * interval, total)) for (span,) in grid
    ]
    times = getattr(found.get('video_reader'), 'times', ())
    result.clip_times = [
        (times[start], times[end]) for start, end in result.clip_frames if times
    ]
    return result
