"""The video classification task, as the tools use it."""

from collections.abc import Sequence
from itertools import zip_longest
from pathlib import Path
from typing import Any

import torch
from mmaction.models import BaseRecognizer, Recognizer2D
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
from glore_mm.insertion import find_units
from glore_mm.utils.errors import UserError, summarize_list
from glore_mm.utils.images import IMAGE_SUFFIXES
from glore_mm.utils.videos import VIDEO_SUFFIXES
from glore_mm.video.long_videos import predict_long_video
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
        """Return a predictor that classifies videos and folders of frames."""
        steps = _file_pipeline(cfg)
        pipeline = Compose(steps)
        if cfg.get('share_nodes') and not find_units(model):
            raise UserError(
                f'{cfg.filename}: --global: the network has no GloRe unit, so its '
                'clips share nothing'
            )

        def predict(path: str) -> ActionDataSample:
            if cfg.get('share_nodes'):
                return predict_long_video(model, steps, path)
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
        """Return one clip of the size that the config tests on.

        Shape: (1, 1, 3, T, H, W), or (1, T, 3, H, W) for a 2D network.
        """
        steps = test_pipeline(cfg)
        sampler = next((step for step in steps if 'clip_len' in step), {})
        frames, size = sampler.get('clip_len', 1), find_test_size(cfg, keep_ratio=True)
        shape: tuple[int, ...] = (1, 1, 3, frames, *size)
        if any(step.get('input_format') == 'NCHW' for step in steps):
            shape = (1, frames * sampler.get('num_clips', 1), 3, *size)
        return dict(inputs=torch.zeros(shape), stage='head')

    def logits(self, model: BaseRecognizer, x: torch.Tensor) -> torch.Tensor:
        """Return logits (N, classes) of clips (N, 3, T, H, W)."""
        if isinstance(model, Recognizer2D):
            x = x.transpose(1, 2).contiguous()  # the frames are images
        else:
            x = x[:, None]  # one clip per sample
        return model(x, stage='head')

    def output_names(self, path: Path) -> list[str]:
        """Name the video with caption: `<name>.mp4`; `<name>.avi.mp4` for an AVI."""
        return [path.name if path.suffix.lower() == '.mp4' else f'{path.name}.mp4']

    def infer(
        self, predictor: Predictor, path: str, outputs: Sequence[Path], top_k: int
    ) -> dict[str, Any]:
        """Classify a video and write it with the most likely class as a caption."""
        predicted = predictor.predict(path)
        classes = predictor.topk(predicted, top_k)
        best = classes[0]
        for output in outputs:
            write_captioned(path, str(output), f'{best["label"]} {best["score"]:.0%}')
        if 'clip_scores' not in predicted:
            return dict(classes=classes)
        clips: list[dict[str, Any]] = []
        for scores, frames, times in zip_longest(
            predicted.clip_scores, predicted.clip_frames, predicted.clip_times
        ):
            clip = dict(frames=frames)
            if times:
                clip['start'], clip['end'] = (round(time, 2) for time in times)
            clip['classes'] = topk_classes(scores.cpu(), predictor.classes, top_k)
            clips.append(clip)
        return dict(classes=classes, clips=clips)

    def share_nodes(self, cfg: Config) -> None:
        """Make inference classify a video in clips whose units share their nodes."""
        sampler = next((s for s in test_pipeline(cfg) if 'clip_len' in s), {})
        if sampler.get('clip_len', 1) == 1 or type_name(sampler) == 'UniformSample':
            raise UserError(
                f'{cfg.filename}: --global needs a network for clips of successive '
                f'frames, but its test pipeline takes them with {sampler}'
            )
        cfg.share_nodes = True

    def set_views(self, cfg: Config, clips: int, crops: int) -> None:
        """Average test scores over several clips of a video and crops of a clip.

        The clips are spread evenly over the video. 1 crop is at the centre. 3 crops are
        squares of the frame's shorter side, at both ends and in the middle. 5 crops are
        those of `CenterAndRandomCrops`.

        A network that takes one frame from each of several segments of the video, such
        as TSM, has at most 2 clips (mmaction2's `twice_sample`) and not 5 crops.

        Args:
            cfg (Config): From `load_config`; its test pipeline is changed.
            clips (int): Number of clips, at least 1.
            crops (int): 1, 3 or 5.

        Raises:
            UserError: The numbers are not allowed, or the pipeline lacks a transform
                that this changes.
        """
        if clips < 1 or crops not in (1, 3, 5):
            raise UserError(
                f'--views {clips}x{crops}: expected at least 1 clip and 1, 3 or 5 crops'
            )
        for key, dataset in leaf_datasets(cfg, 'test'):
            steps = {type_name(step): step for step in dataset['pipeline']}
            kind = 'UniformSample' if 'UniformSample' in steps else 'StrictSampleFrames'
            changed = (kind, 'Resize', 'CenterCrop') if crops > 1 else (kind,)
            for needed in changed:
                if needed not in steps:
                    raise UserError(
                        f'{cfg.filename}: --views {clips}x{crops} changes '
                        f'{", ".join(changed)} of {key}.pipeline, but there is no '
                        f'{needed} in it'
                    )
            sampler = steps[kind]
            segments = sampler['clip_len'] == 1 and sampler.get('num_clips', 1)
            if segments and (clips > 2 or crops == 5):
                raise UserError(
                    f'{cfg.filename}: --views {clips}x{crops}: a clip of this network '
                    f'has one frame from each of {segments} segments of the video; '
                    'expected 1 or 2 clips and 1 or 3 crops'
                )
            if segments:
                sampler['twice_sample'] = clips == 2
            else:
                sampler['num_clips'] = clips
            if crops == 3:
                side = max(steps['Resize']['scale'])  # (-1, 256): the shorter side
                steps['CenterCrop'].update(type='ThreeCrop', crop_size=side)
            elif crops == 5:
                steps['CenterCrop'].update(type='CenterAndRandomCrops', num_crops=crops)
        if clips * crops > 1:
            cfg.test_dataloader.batch_size = 1
            if type_name(cfg.model) != 'Recognizer2D':  # which does not support it
                # 10 views at a time fit into the memory of a training batch of 8
                cfg.model.test_cfg = dict(max_testing_views=10)


def _file_pipeline(cfg: Config) -> list[dict[str, Any]]:
    """Return the test pipeline, changed to read single videos or folders of frames.

    Raises:
        UserError: The pipeline does not decode videos or frames.
    """
    steps = [dict(type='VideoInit')]
    for step in test_pipeline(cfg):
        kind = type_name(step)
        if kind.endswith('Decode'):  # DecordDecode, PyAVDecode, RawFrameDecode, …
            step = dict(type='VideoDecode')
        elif kind == 'StrictSampleFrames':
            # no benchmark here, so a video that is too short is repeated
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
