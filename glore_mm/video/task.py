"""Video classification in the tools."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from mmaction.models import BaseRecognizer
from mmaction.structures import ActionDataSample
from mmcv.transforms import Compose
from mmengine.config import Config
from mmengine.model import BaseModel

from glore_mm.config.datasets import leaf_datasets, test_pipeline, type_name
from glore_mm.engine.task import (
    Predictor,
    Task,
    find_test_size,
    predict_sample,
    topk_classes,
)
from glore_mm.utils.errors import UserError, summarize_list
from glore_mm.utils.images import IMAGE_SUFFIXES
from glore_mm.utils.videos import VIDEO_SUFFIXES
from glore_mm.video.visualization import write_captioned


class VideoTask(Task):
    """Video classification with mmaction2."""

    input_suffixes = (*VIDEO_SUFFIXES, '.gif')
    frame_suffixes = IMAGE_SUFFIXES
    channels = 'RGB'
    dump_metric = 'PerSampleScores'
    visualization_hook = 'VideoPredictionHook'

    def predictor(
        self, cfg: Config, model: BaseModel, classes: Sequence[str]
    ) -> Predictor:
        """A network that classifies videos and folders of frames."""
        pipeline = Compose(_file_pipeline(cfg))

        def predict(path: str) -> ActionDataSample:
            sample = pipeline(dict(filename=path, start_index=0, modality='RGB'))
            return predict_sample(model, sample)

        return Predictor(
            model,
            classes,
            predict,
            lambda found, k: topk_classes(found.pred_score.cpu(), classes, k),
            takes_videos=True,
        )

    def example_inputs(self, cfg: Config) -> dict[str, Any]:
        """A clip of the size that a config tests on."""
        steps = test_pipeline(cfg)
        frames = next((s['clip_len'] for s in steps if 'clip_len' in s), 1)
        size = find_test_size(cfg, keep_ratio=True)
        return dict(inputs=torch.zeros(1, 1, 3, frames, *size), stage='head')

    def logits(self, model: BaseRecognizer, x: torch.Tensor) -> torch.Tensor:
        """(N, classes) for clips (N, 3, T, H, W)."""
        return model(x[:, None], stage='head')  # one clip a sample

    def output_names(self, path: Path) -> list[str]:
        """The video with a caption: `<name>.mp4`, `<name>.avi.mp4` of an AVI."""
        return [path.name if path.suffix.lower() == '.mp4' else f'{path.name}.mp4']

    def infer(
        self, predictor: Predictor, path: str, outputs: Sequence[Path], top_k: int
    ) -> list[dict[str, Any]]:
        """Classify a video, write it with the most likely class in each frame."""
        classes = predictor.topk(predictor.predict(path), top_k)
        best = classes[0]
        for output in outputs:
            write_captioned(path, str(output), f'{best["label"]} {best["score"]:.0%}')
        return classes

    def set_views(self, cfg: Config, clips: int, crops: int) -> None:
        """Let a test average over several clips of a video and crops of a clip.

        Clips are spread evenly over the video. Crops: 1 is the centre; 3 are squares of
        the frame's shorter side, at both ends and in the middle; 5 are those of
        `CenterAndRandomCrops`.

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
                f'--views {clips}x{crops}: expected at least 1 clip, 1, 3 or 5 crops'
            )
        for key, dataset in leaf_datasets(cfg, 'test'):
            steps = {type_name(step): step for step in dataset['pipeline']}
            changed = (
                ('StrictSampleFrames', 'Resize', 'CenterCrop')
                if crops > 1
                else ('StrictSampleFrames',)
            )
            for needed in changed:
                if needed not in steps:
                    raise UserError(
                        f'{cfg.filename}: --views {clips}x{crops} changes '
                        f'{", ".join(changed)} of {key}.pipeline, but there is no '
                        f'{needed} in it'
                    )
            steps['StrictSampleFrames']['num_clips'] = clips
            if crops == 3:
                side = max(steps['Resize']['scale'])  # (-1, 256): the shorter side
                steps['CenterCrop'].update(type='ThreeCrop', crop_size=side)
            elif crops == 5:
                steps['CenterCrop'].update(type='CenterAndRandomCrops', num_crops=crops)
        if clips * crops > 1:
            # 10 at a time fit where the 8 of a training batch do
            cfg.test_dataloader.batch_size = 1
            cfg.model.test_cfg = dict(max_testing_views=10)


def _file_pipeline(cfg: Config) -> list[dict[str, Any]]:
    """The test pipeline, reading single videos or folders of frames.

    Raises:
        UserError: The pipeline of the config reads neither.
    """
    steps = [dict(type='VideoInit')]
    for step in test_pipeline(cfg):
        kind = type_name(step)
        if kind.endswith('Decode'):  # DecordDecode, PyAVDecode, RawFrameDecode, …
            step = dict(type='VideoDecode')
        elif kind == 'StrictSampleFrames':
            # one clip is no comparison: one that is too short begins anew
            step = dict(step, out_of_bound_opt='loop')
        if kind not in ('VideoInit', 'DecordInit', 'PyAVInit', 'OpenCVInit'):
            steps.append(step)
    if dict(type='VideoDecode') not in steps:
        raise UserError(
            f'{cfg.filename} does not read video files or frames: its test pipeline '
            f'has {summarize_list(map(type_name, test_pipeline(cfg)))}, none of which '
            'decodes'
        )
    return steps


TASK = VideoTask()
