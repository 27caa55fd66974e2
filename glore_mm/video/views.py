"""Several views of a video to average over when testing."""

import zlib
from typing import Any

import numpy as np
from mmaction.registry import TRANSFORMS
from mmcv.transforms import BaseTransform
from mmengine.config import Config

from glore_mm.errors import UserError


@TRANSFORMS.register_module()
class MixedCrops(BaseTransform):
    """Several crops of every clip: of the first clip the centre, the rest at random.

    This is how the authors of the GloRe release advise to test with 10 clips and 5
    crops (https://github.com/facebookresearch/GloRe/issues/4). The places are drawn
    from the file's name: a test repeats.

    Changes `imgs`, which become num_crops times as many, and `img_shape`.

    Args:
        crop_size (int): Side of the crops, pixels.
        num_crops (int): Crops of each clip.
    """

    def __init__(self, crop_size: int, num_crops: int) -> None:
        self.crop_size = crop_size
        self.num_crops = num_crops

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Crop; all frames of a clip at one place."""
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


def set_views(cfg: Config, clips: int, crops: int) -> None:
    """Let a test average over several clips of a video and crops of a clip.

    Clips are spread evenly over the video. Crops: 1 is the centre; 3 are squares of the
    frame's shorter side, at both ends and in the middle; 5 are `MixedCrops`.

    Args:
        cfg (Config): From `load_config`; its test pipeline is changed.
        clips (int): How many clips, at least 1.
        crops (int): 1, 3 or 5.

    Raises:
        UserError: The numbers are none of these, or the pipeline is not as in our
            configs.
    """
    if clips < 1 or crops not in (1, 3, 5):
        raise UserError(
            f'--views {clips}x{crops}: expected at least 1 clip, and 1, 3 or 5 crops'
        )
    steps = {step['type']: step for step in cfg.test_dataloader.dataset.pipeline}
    changed = ('SampleClips', 'Resize', 'CenterCrop') if crops > 1 else ('SampleClips',)
    for needed in changed:
        if needed not in steps:
            raise UserError(
                f'{cfg.filename}: --views {clips}x{crops} changes {", ".join(changed)} '
                f'of the test pipeline, but there is no {needed} in it'
            )
    steps['SampleClips']['num_clips'] = clips
    if crops == 3:
        side = max(steps['Resize']['scale'])  # (-1, 256): the shorter side
        steps['CenterCrop'].update(type='ThreeCrop', crop_size=side)
    elif crops == 5:
        steps['CenterCrop'].update(type='MixedCrops', num_crops=crops)
    if clips * crops > 1:
        # 10 at a time fit where the 8 of a training batch do
        cfg.test_dataloader.batch_size = 1
        cfg.model.test_cfg = dict(max_testing_views=10)
