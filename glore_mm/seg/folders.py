"""The user's own images and masks, without a data set class."""

import os.path as osp
from collections.abc import Sequence
from typing import Any

from mmseg.registry import DATASETS

from glore_mm.seg.datasets import ImageMaskDataset
from glore_mm.seg.masks import read_mask, read_palette
from glore_mm.utils.annotations import read_class_names
from glore_mm.utils.bands import BAND_SUFFIXES
from glore_mm.utils.class_folders import draw_split
from glore_mm.utils.errors import UserError, summarize_list
from glore_mm.utils.paths import list_files

_DOCS = 'docs/own_data.md shows the layout.'
_MASK_SUFFIXES = ('.png', '.tif', '.tiff', '.bmp', '.gif', '.pgm')
_SPLITS = ('train', 'val', 'test')
_SAMPLE = 50  # number of masks of which the palettes are compared


@DATASETS.register_module()
class ImageMaskFolders(ImageMaskDataset):
    """A folder of images and a folder of masks, split in one of three ways.

    1. By folder, if `<images>/train` exists: `<images>/<split>` and `<masks>/<split>`.
       For folders such as `<split>/images` write `images='{split}/images'`.
    2. By list, if `ann_file` is given or `<data_root>/train.txt` exists: the images in
       that file, or in `<split>.txt`.
    3. By share: `val_share` of the images, drawn at random, are for validation and
       testing, the others for training.

    An image and its mask have the same name, except for their suffixes. A mask has one
    integer per pixel. Pixels with 255 are ignored unless 255 is the value of a class.

    Args:
        data_root (str): The folder that contains the others.
        split (str): 'train', 'val' or 'test'.
        images (str): Folder of the images. Default: 'images'.
        masks (str, optional): Folder of the masks; None for a test set without labels.
            Default: 'masks'.
        img_suffix (str, optional): End of image file names. Default: any image format.
        seg_map_suffix (str, optional): End of mask file names, such as '_mask.png'.
            Default: any lossless image format.
        classes (str | Sequence[str], optional): The class names, or a text file with
            one name per line, relative to `data_root`. Default: `classes.txt` in
            `data_root` or in `masks`; without one, `background` and `foreground` for
            `binary`, or else the colours of palette masks.
        palette (Sequence[Sequence[int]], optional): RGB of each class. Default: the
            palette of the masks, or else chosen by mmsegmentation.
        values (Sequence[int], optional): Value of each class in the masks, 0 to 65535.
            Default: the index of the class.
        binary (str, optional): If given, 0 is the first class and all other values are
            the second. In a config, 'softmax' or 'sigmoid' is also the form of the
            heads. Default: values are classes.
        val_share (float): Share of the images for validation. Default: 0.2.
        split_seed (int): Seed of the split by share. Default: 0.
        kwargs: As for mmseg's BaseSegDataset.

    Raises:
        UserError: A folder is missing, the classes are not known, palettes differ, or
            `values`, `binary` and `reduce_zero_label` do not fit the classes.
    """

    docs = _DOCS

    def __init__(
        self,
        data_root: str,
        split: str,
        images: str = 'images',
        masks: str | None = 'masks',
        img_suffix: str | None = None,
        seg_map_suffix: str | None = None,
        classes: str | Sequence[str] | None = None,
        palette: Sequence[Sequence[int]] | None = None,
        values: Sequence[int] | None = None,
        binary: str | None = None,
        val_share: float = 0.2,
        split_seed: int = 0,
        **kwargs: Any,
    ) -> None:
        reduce_zero_label = bool(kwargs.get('reduce_zero_label'))
        _check_values(values, binary, reduce_zero_label)
        self.image_endings = (img_suffix,) if img_suffix else BAND_SUFFIXES
        suffixes = (seg_map_suffix,) if seg_map_suffix else _MASK_SUFFIXES
        self.label_endings = dict.fromkeys(suffixes, _label_map(values, binary))
        self._is_binary = bool(binary)
        mask_dir = osp.join(data_root, masks or 'masks')
        # the value of each class in the masks; there can be fewer classes
        value_of = [*range(int(reduce_zero_label), 256)] if values is None else values
        names, palette = _find_classes(
            classes, palette, binary, data_root, mask_dir, suffixes, value_of
        )
        if values is not None and len(values) != len(names):
            raise UserError(
                f'values has {len(values)} numbers, but there are {len(names)} '
                f'class(es): {summarize_list(names)}. Give one number per class.'
            )
        self._share: float | None = None
        if osp.isdir(osp.join(data_root, images, 'train')):
            images, masks = f'{images}/{{split}}', masks and f'{masks}/{{split}}'
        elif not kwargs.get('ann_file'):
            if osp.isfile(osp.join(data_root, 'train.txt')):
                kwargs['ann_file'] = f'{split}.txt'
            elif '{split}' not in images:
                self._share = val_share
        self._split, self._seed = split, split_seed
        metainfo: dict[str, Any] = dict(classes=names)
        if palette:
            metainfo['palette'] = palette
        folders = dict(img_path=images, **(dict(seg_map_path=masks) if masks else {}))
        super().__init__(
            data_root=data_root,
            data_prefix={key: f.format(split=split) for key, f in folders.items()},
            metainfo=metainfo,
            **kwargs,
        )

    def load_data_list(self) -> list[dict[str, Any]]:
        """Return the samples of the split, sorted by name or in the order of the list.

        Raises:
            UserError: A folder is missing or empty, an image has no mask, or a mask has
                no image.
        """
        samples = super().load_data_list()
        if self._share is None:
            return samples
        folder = self.data_prefix['img_path']
        return draw_split(samples, self._split, self._share, self._seed, folder)

    def _find_labels(self) -> dict[str, tuple[str, dict[int, int] | None]] | None:
        """Return the masks; two of one image, in different formats, are an error."""
        folder = self.data_prefix.get('seg_map_path')
        if not folder:
            return None
        endings = tuple(self.label_endings)
        label_map = self.label_endings[endings[0]]
        files = self._files_by_key(folder, endings)
        return {key: (path, label_map) for key, path in files.items()}

    def _sample(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        return dict(super()._sample(*args, **kwargs), is_binary=self._is_binary)


def _check_values(
    values: Sequence[int] | None, binary: str | None, reduce_zero_label: bool
) -> None:
    """Make sure that the mapping from the values of the masks to classes is clear."""
    given = dict(values=values, binary=binary, reduce_zero_label=reduce_zero_label)
    if sum(bool(option) for option in given.values()) > 1:
        raise UserError(
            f'{", ".join(f"{name}={option!r}" for name, option in given.items())}: '
            'only one of them can be given. tools/masks_to_indices.py converts masks '
            'that need more.'
        )
    if values is None:
        return
    is_list = isinstance(values, Sequence) and not isinstance(values, str)
    if not (
        is_list
        and all(type(value) is int and 0 <= value <= 65535 for value in values)
        and len(set(values)) == len(values) > 0
    ):
        raise UserError(
            f'values={values!r}: expected a list of the value of each class, different '
            'integers from 0 to 65535, such as values=10,20,30'
        )


def _label_map(
    values: Sequence[int] | None, binary: str | None
) -> dict[int, int] | None:
    """Return the class of each value of a mask, 255 if ignored, -1 if wrong.

    Values above 255 that are no classes are wrong without an entry.
    """
    if binary:
        return {value: int(value > 0) for value in range(256)}
    if values is None:
        return None
    return {
        **dict.fromkeys(range(255), -1),
        255: 255,
        **{value: index for index, value in enumerate(values)},
    }


def _find_classes(
    classes: str | Sequence[str] | None,
    palette: Sequence[Sequence[int]] | None,
    binary: str | None,
    data_root: str,
    masks: str,
    suffixes: tuple[str, ...],
    value_of: Sequence[int],
) -> tuple[tuple[str, ...], Sequence[Sequence[int]] | None]:
    """Return the class names, and the given palette or that of the masks, if any."""
    suffixes = tuple(map(str.lower, suffixes))
    folders = dict.fromkeys(masks.replace('{split}', split) for split in _SPLITS)
    before, split, _ = masks.partition('{split}')
    masks = osp.dirname(before) if split else masks.rstrip('/')
    if classes is None and binary:
        classes = ('background', 'foreground')
    for folder in (data_root, masks) if classes is None else ():
        if osp.isfile(osp.join(folder, 'classes.txt')):
            classes = read_class_names('classes.txt', folder)
            break
    if classes is not None and palette:
        return read_class_names(classes, data_root), palette
    files = [file for folder in folders for file in sorted(list_files(folder))]
    files = [file for file in files if file.lower().endswith(suffixes)]
    if classes is not None:
        names = read_class_names(classes, data_root)
        colors, _ = read_palette(files[:: max(1, len(files) // _SAMPLE)])
        found = [
            colors[value] for value in value_of[: len(names)] if value < len(colors)
        ]
        distinct = len(set(map(tuple, found))) == len(names)
        return names, found if distinct else None
    if not files:
        raise UserError(
            f'no masks in {masks} (files ending in {", ".join(suffixes)}). Put them '
            f'there, or give data_root and masks. {_DOCS}'
        )
    found, largest = read_palette(files)
    if not found:
        without = next(file for file in files if not read_mask(file)[1])
        raise UserError(
            f'the classes have no names, as {without} has no palette. Give '
            f'classes=a,b,c, or write one name per line in {masks}/classes.txt.'
        )
    shown = {value: found[value] for value in value_of if value <= largest}
    names = [f'{value} #{bytes(color).hex()}' for value, color in shown.items()]
    return tuple(names), palette or [*shown.values()]
