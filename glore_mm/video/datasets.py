"""Data sets of listed clips, checked before training."""

import os.path as osp
from collections.abc import Sequence
from typing import Any

from mmaction.datasets import BaseActionDataset
from mmaction.registry import DATASETS

from glore_mm.engine.corrupt_samples import SkipCorruptMixin
from glore_mm.utils.annotations import parse_annotations, read_class_names, resolve_path
from glore_mm.utils.class_folders import (
    class_folders,
    draw_split,
    find_samples,
    label_folders,
)
from glore_mm.utils.errors import UserError
from glore_mm.utils.kinetics import kinetics400_classes
from glore_mm.utils.videos import VIDEO_SUFFIXES


class CheckedVideoDataset(SkipCorruptMixin, BaseActionDataset):
    """Clips listed in a text file: in each line a path and one or more integers.

    A path may contain spaces. Clips that cannot be read are handled as in
    SkipCorruptMixin.

    Args:
        ann_file (str): The list. `{split}` in it is replaced by `split`.
        pipeline (list): The transforms.
        classes (str | Sequence[str]): 'kinetics400', the class names, or a text file
            with one name per line, relative to `data_root`. Default: 'kinetics400'.
        data_root (str): Base folder of `ann_file`, `classes` and `data_prefix`.
        data_prefix (dict, optional): Base folder of the listed paths, with the key
            `video`, or `img` for folders of images. Default: `data_root`.
        outside_root (bool): Whether the list may contain files outside `data_root`,
            with absolute paths or `..`. Default: False.
        split (int, optional): Number of the split, of data sets that have several.
        kwargs: As for mmaction2's BaseActionDataset.

    Raises:
        UserError: The list or the file of classes cannot be read, or a line is wrong.
    """

    what = 'clips'
    place = 'the list'
    prefix_key: str  # key of data_prefix
    numbers: tuple[str, ...]  # names of the integers that follow the path

    def __init__(
        self,
        ann_file: str,
        pipeline: list[Any],
        classes: str | Sequence[str] = 'kinetics400',
        data_root: str = '',
        data_prefix: dict[str, str] | None = None,
        outside_root: bool = False,
        split: int | None = None,
        **kwargs: Any,
    ) -> None:
        if split is not None:
            ann_file = ann_file.replace('{split}', str(split))
        if classes == 'kinetics400':
            classes = kinetics400_classes()
        names = read_class_names(classes, data_root)
        self.outside_root = outside_root
        super().__init__(
            ann_file,
            pipeline,
            data_root=data_root,
            data_prefix=data_prefix or {self.prefix_key: ''},
            metainfo=dict(classes=names),
            num_classes=len(names),
            **kwargs,
        )

    def load_data_list(self) -> list[dict[str, Any]]:
        """Return the clips in the order of the list.

        Raises:
            UserError: The list is missing or empty, or a line is wrong.
        """
        folder, root = self.data_prefix[self.prefix_key], self.data_root
        clips = []
        for where, path, clip in parse_annotations(
            self.ann_file, 'list of clips', self.numbers, self.num_classes
        ):
            if clip.get('total_frames', 1) < 1:
                raise UserError(
                    f'{where}: total_frames {clip["total_frames"]}; expected at least 1'
                )
            path = resolve_path(path, where, folder, root, self.outside_root)
            clips.append({self.path_key: path, **clip})
        return clips


@DATASETS.register_module()
class KineticsVideos(CheckedVideoDataset):
    """Video files, listed as `path label`; takes CheckedVideoDataset's arguments."""

    prefix_key = 'video'
    path_key = 'filename'
    numbers = ('label',)


@DATASETS.register_module()
class VideoFolders(CheckedVideoDataset):
    """Video files in one folder per class, without a list.

    Args:
        data_root (str): The folder that contains the splits, or with `val_share` the
            class folders.
        split (str): 'train', 'val' or 'test': the folder of this split.
        pipeline (list): The transforms.
        classes (str | Sequence[str], optional): Names of the class folders in the order
            of their labels, or a text file with one name per line, relative to
            `data_root`. Default: the class folders of `train`, sorted.
        val_share (float, optional): Share of the clips of each class to draw for
            validation, where the class folders are not split. Default: they are split
            by folder.
        split_seed (int): Seed of this draw. Default: 0.
        kwargs: As for CheckedVideoDataset.
    """

    prefix_key = 'video'
    path_key = 'filename'
    place = 'its folder'

    def __init__(
        self,
        data_root: str,
        split: str,
        pipeline: list[Any],
        classes: str | Sequence[str] | None = None,
        val_share: float | None = None,
        split_seed: int = 0,
        **kwargs: Any,
    ) -> None:
        self._split, self._share, self._seed = split, val_share, split_seed
        self._classes_source = 'classes of the config'
        if classes is None:
            whole = osp.join(data_root, '' if val_share else 'train')
            self._classes_source = whole
            classes = class_folders(whole) if osp.isdir(whole) else ()
        folder = '' if val_share else split
        super().__init__('', pipeline, classes, data_root, dict(video=folder), **kwargs)

    @property
    def source(self) -> str:
        """Path of the folder."""
        return self.data_prefix['video']

    def load_data_list(self) -> list[dict[str, Any]]:
        """Return the clips, sorted by class and name.

        Raises:
            UserError: A folder is missing or empty, or is not a class.
        """
        folder = self.data_prefix['video']
        classes = self.metainfo['classes']
        if not osp.isdir(folder) or not classes:
            missing = folder if not osp.isdir(folder) else self._classes_source
            raise UserError(
                f'no class folders in {missing}; expected a folder of clips for each '
                'class. Put them there, or correct data_root. If the clips are not '
                'split into train and val, give val_share=0.2.'
            )
        found = find_samples(
            folder,
            label_folders(folder, classes, self._classes_source),
            lambda path: path.lower().endswith(VIDEO_SUFFIXES),
            f'clips ({", ".join(VIDEO_SUFFIXES)})',
            self.report_empty,
            self.report_left_out,
        )
        if self._share:
            labels = [label for _, label in found]
            found = draw_split(
                found, self._split, self._share, self._seed, folder, labels
            )
        return [dict(filename=path, label=label) for path, label in found]


@DATASETS.register_module()
class KineticsFrames(CheckedVideoDataset):
    """Folders of images, listed as `path total_frames label`.

    Args:
        filename_tmpl (str): Template of the image names. Default: 'img_{:05}.jpg'.
        start_index (int): Number of the first image. Default: 1.
        args, kwargs: As for CheckedVideoDataset.
    """

    prefix_key = 'img'
    path_key = 'frame_dir'
    numbers = ('total_frames', 'label')

    def __init__(
        self,
        *args: Any,
        filename_tmpl: str = 'img_{:05}.jpg',
        start_index: int = 1,
        **kwargs: Any,
    ) -> None:
        self.filename_tmpl = filename_tmpl
        super().__init__(*args, start_index=start_index, **kwargs)

    def get_data_info(self, idx: int) -> dict[str, Any]:
        """Return the pipeline's input for a clip."""
        return dict(super().get_data_info(idx), filename_tmpl=self.filename_tmpl)
