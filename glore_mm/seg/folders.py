"""The user's own images and masks, without a data set class."""

import os.path as osp
from collections.abc import Sequence
from typing import Any

import numpy as np
from mmseg.registry import DATASETS
from PIL import Image

from glore_mm.seg.datasets import ImageMaskDataset
from glore_mm.utils.annotations import read_class_names
from glore_mm.utils.bands import BAND_SUFFIXES
from glore_mm.utils.class_folders import draw_split
from glore_mm.utils.errors import UserError
from glore_mm.utils.images import unreadable_image
from glore_mm.utils.paths import list_files

_DOCS = 'docs/own_data.md shows the layout.'
_MASK_SUFFIXES = ('.png', '.tif', '.tiff', '.bmp', '.gif', '.pgm')


@DATASETS.register_module()
class ImageMaskFolders(ImageMaskDataset):
    """A folder of images and a folder of masks, split in one of three ways.

    1. By folder, if `<images>/train` exists: `<images>/<split>` and `<masks>/<split>`.
       For folders such as `<split>/images` write `images='{split}/images'`.
    2. By list, if `<data_root>/train.txt` exists: the images in `<split>.txt`.
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
        values (Sequence[int], optional): Value of each class in the masks. Default: the
            index of the class.
        binary (str, optional): If given, 0 is the first class and all other values are
            the second. In a config, 'softmax' or 'sigmoid' is also the form of the
            heads. Default: values are classes.
        val_share (float): Share of the images for validation. Default: 0.2.
        split_seed (int): Seed of the split by share. Default: 0.
        kwargs: As for mmseg's BaseSegDataset.

    Raises:
        UserError: A folder is missing, or the classes are not known.
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
        self.image_endings = (img_suffix,) if img_suffix else BAND_SUFFIXES
        suffixes = (seg_map_suffix,) if seg_map_suffix else _MASK_SUFFIXES
        self.label_endings = dict.fromkeys(suffixes, _label_map(values, binary))
        mask_dir = osp.join(data_root, (masks or 'masks').partition('{split}')[0])
        # the value of each class in the masks; there can be fewer classes
        first = int(bool(kwargs.get('reduce_zero_label')))
        value_of = [*range(first, 256)] if values is None else values
        names, palette = _find_classes(
            classes, palette, binary, data_root, mask_dir, suffixes, value_of
        )
        self._share: float | None = None
        if osp.isdir(osp.join(data_root, images, 'train')):
            images, masks = f'{images}/{{split}}', masks and f'{masks}/{{split}}'
        elif osp.isfile(osp.join(data_root, 'train.txt')):
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


def _label_map(
    values: Sequence[int] | None, binary: str | None
) -> dict[int, int] | None:
    """Return the class of each value of a mask, 255 if ignored, -1 if wrong."""
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
    if classes is None and binary:
        classes = ('background', 'foreground')
    for folder in (data_root, masks) if classes is None else ():
        if osp.isfile(osp.join(folder, 'classes.txt')):
            classes = read_class_names('classes.txt', folder)
            break
    if classes is not None and palette:
        return read_class_names(classes, data_root), palette
    files = sorted(f for f in list_files(masks) if f.lower().endswith(suffixes))
    if classes is not None:
        names = read_class_names(classes, data_root)
        colors = _read_mask(files[0])[0] if files else []
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
    used = 0
    for file in files:
        found, largest = _read_mask(file)
        if not found:
            raise UserError(
                f'the classes have no names, as {file} has no palette. Give '
                f'classes=a,b,c, or write one name per line in {masks}/classes.txt.'
            )
        used = max(used, largest + 1)
    used = min(used, len(found))
    shown = {value: found[value] for value in value_of if value < used}
    names = [f'{value} #{bytes(color).hex()}' for value, color in shown.items()]
    return tuple(names), palette or [*shown.values()]


def _read_mask(path: str) -> tuple[list[list[int]], int]:
    """Return the palette of a mask, empty if it has none, and its largest class."""
    try:
        with Image.open(path) as mask:
            colors = (mask.getpalette() if mask.mode == 'P' else None) or []
            counts = mask.histogram() if colors else [0]
    except Exception as error:  # each format raises its own type
        raise unreadable_image(path, error, what='a mask') from error
    values = np.flatnonzero(counts[:255])  # 255 is ignored
    palette = np.array(colors, int).reshape(-1, 3).tolist()
    return palette, int(values.max(initial=0))
