"""Images of clips: videos with captions, strips of frames."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from mmaction.registry import HOOKS
from mmengine.dataset import BaseDataset
from PIL import Image, ImageDraw

from glore_mm.engine.hooks.prediction import PredictionHook
from glore_mm.utils.datasets import find_sample
from glore_mm.utils.videos import map_video
from glore_mm.visualization.drawing import draw_caption, font_for, prediction_text


def write_captioned(source: str, target: str, text: str) -> None:
    """Copy a video without its sound and draw a caption into every frame.

    Args:
        source (str): The video.
        target (str): The copy, H.264 in MP4, written atomically.
        text (str): The caption.

    Raises:
        UnreadableSampleError: The source cannot be read.
    """

    def captioned(frame: np.ndarray) -> np.ndarray:
        image = Image.fromarray(frame)
        draw_caption(image, text)
        return np.asarray(image)

    map_video(source, target, captioned)


def draw_frame_strip(frames: Sequence[np.ndarray], text: str) -> Image.Image:
    """Place frames of a clip side by side below a line of text.

    Args:
        frames (Sequence[np.ndarray]): uint8 (H, W, 3), RGB, all of one size.
        text (str): Text above the frames.

    Returns:
        Image.Image: RGB.
    """
    height, line = 96, 20  # pixels
    width = round(frames[0].shape[1] * height / frames[0].shape[0])
    step = width + 3
    sheet = Image.new('RGB', (step * len(frames), height + line), color='white')
    font = font_for(text, 13)
    ImageDraw.Draw(sheet).text((4, 2), text, fill='black', font=font)
    for column, frame in enumerate(frames):
        image = Image.fromarray(frame).resize((width, height))
        sheet.paste(image, (column * step, line))
    return sheet


@HOOKS.register_module()
class VideoPredictionHook(PredictionHook):
    """Write the preprocessed frames of test clips with prediction and ground truth.

    Args:
        folder (str): Where to write one PNG per clip, with the subfolders of the data
            set.
    """

    def draw(
        self, sample: Any, dataset: BaseDataset, data_batch: Any, index: int
    ) -> Image.Image:
        """Return a strip of the frames of the first view."""
        frames = data_batch['inputs'][index]
        if frames.dim() == 5:  # (views, 3, T, H, W)
            frames = frames[0].transpose(0, 1)
        else:  # (views * T, 3, H, W) of a 2D network
            steps = find_sample(dataset, 0)[0].pipeline.transforms
            sampler = next(step for step in steps if hasattr(step, 'clip_len'))
            frames = frames[: sampler.clip_len * sampler.num_clips]
        frames = frames.permute(0, 2, 3, 1).clamp(0, 255).byte().cpu().numpy()
        text = prediction_text(sample, dataset.metainfo['classes'])
        return draw_frame_strip(frames, text)

    def file_name(self, name: str) -> str:
        """Keep the suffix, as a.mp4 and a.avi, or a_0.5 and a_0.7, differ in it."""
        return f'{name}.png'
