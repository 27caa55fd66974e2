"""Loading label maps, with checks of their content."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from mmcv.transforms import BaseTransform
from mmseg.registry import TRANSFORMS

from glore_mm.seg.masks import read_mask
from glore_mm.utils.errors import UnreadableSampleError, UserError


@TRANSFORMS.register_module()
@dataclass(eq=False)
class LoadSegLabels(BaseTransform):
    """Load a label map and map its values to classes.

    Like mmseg's LoadAnnotations, but maps with a lookup table and rejects a file whose
    values are not classes. Without `seg_map_path` (inference) it does nothing.

    Required keys: seg_map_path, label_map, seg_fields, num_classes (optional),
    is_binary (optional; every value except 0 is class 1), ori_shape (optional; the
    shape of the image), window and file_shape (optional, from LoadBands).
    Added keys: gt_seg_map, uint8 (H, W).
    Modified keys: seg_fields.

    Args:
        ignore_index (int): The label that is not scored. Default: 255.
    """

    ignore_index: int = 255

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Add `gt_seg_map` to `results`.

        Raises:
            UserError: The file cannot be read, does not contain class indices, has
                another size than the image, or contains a value that is not a class.
        """
        if 'seg_map_path' not in results:
            return results
        path = results['seg_map_path']
        try:
            labels, _ = read_mask(path)
        except UnreadableSampleError as error:
            raise UserError(error.with_removal_advice('the data set')) from error
        if labels.ndim != 2:
            raise UserError(
                f'{path} is a colour image {labels.shape}; a label map has one class '
                'index per pixel (a grey or palette PNG). In Cityscapes these are '
                '*_labelTrainIds.png or *_labelIds.png, not *_color.png. '
                'tools/masks_to_indices.py converts colours.'
            )
        shape = results.get('file_shape', results.get('ori_shape', labels.shape))
        height, width = shape[:2]
        if labels.shape != (height, width):
            raise UserError(
                f'{path} has {labels.shape[1]}×{labels.shape[0]} pixels, but its image '
                f'{results.get("img_path")} has {width}×{height}. Scale the label map '
                'without interpolation, or remove both from the data set.'
            )
        if labels.dtype.kind == 'f':
            raise UserError(
                f'{path} contains floating-point numbers; expected one class index per '
                'pixel (a grey or palette PNG)'
            )
        if 'window' in results:
            top, left, height, width = results['window']
            labels = labels[top : top + height, left : left + width]
        if results.get('is_binary'):
            labels = labels != 0
        if labels.dtype == bool:
            labels = labels.astype(np.uint8)
        table = _table(results)
        self._check(labels, path, table, results.get('num_classes', 256))
        results['gt_seg_map'] = table.astype(np.uint8)[labels]
        results['seg_fields'].append('gt_seg_map')
        return results

    def _check(
        self, labels: np.ndarray, path: str, table: np.ndarray, num_classes: int
    ) -> None:
        """Make sure that all values of a label map are classes or ignored."""
        if labels.dtype == np.uint8:  # bincount is faster than unique
            values = np.flatnonzero(np.bincount(labels.ravel()))
        else:
            values = np.unique(labels)
        is_class = (table >= 0) & (table < num_classes)
        is_valid = is_class | (table == self.ignore_index)
        in_table = (values >= 0) & (values < len(table))
        wrong = values[~(in_table & is_valid[np.where(in_table, values, 0)])]
        if len(wrong):
            raise UserError(
                f'{path} has the label value(s) {", ".join(map(str, wrong[:9]))}; '
                f'the classes are {_ranges(is_class)}, and '
                f'{_ranges(is_valid & ~is_class)} is ignored. Correct the file, or the '
                'classes of the data set in the config.'
            )


def _table(results: dict[str, Any]) -> np.ndarray:
    """Return the lookup table from label values to classes, int, -1 if wrong."""
    label_map = results.get('label_map') or {}
    table = np.arange(max(255, *label_map) + 1 if label_map else 256)
    mapped = table.copy()
    mapped[list(label_map)] = list(label_map.values())
    if results.get('reduce_zero_label'):
        table = np.where(table % 255 == 0, 255, table - 1)
    return mapped[table]


def _ranges(flags: np.ndarray) -> str:
    """Describe the indices of the true values: '0 to 9, 20'."""
    edges = np.flatnonzero(np.diff(flags, prepend=False, append=False))
    pairs = zip(edges[::2], edges[1::2] - 1, strict=True)
    return ', '.join(f'{a} to {b}' if a < b else f'{a}' for a, b in pairs) or 'none'
