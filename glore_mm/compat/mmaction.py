"""Patches of mmaction2 1.2.0. The comments give the line of each fault."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

from glore_mm.compat.import_hook import (
    add_module,
    after_import,
    during_import,
    patch_function,
)
from glore_mm.compat.mmengine import is_distributed


# mmaction/models/localizers/__init__.py:4 imports the package drn, which the released
# wheel lacks (mmaction2 #2714). Needed until a release contains the package.
@after_import('mmaction')
def fix_missing_drn_localizer(mmaction: Any) -> None:
    """Let mmaction.models be imported; its DRN raises an error that says why."""
    localizers = os.path.join(os.path.dirname(mmaction.__file__), 'models/localizers')
    if os.path.exists(os.path.join(localizers, 'drn')):
        return

    class DRN:
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            raise RuntimeError(
                'mmaction2 was released without its localizer DRN, see '
                'https://github.com/open-mmlab/mmaction2/issues/2714. To use it, '
                'install mmaction2 from a clone of its repository.'
            )

    add_module('mmaction.models.localizers.drn.drn', DRN=DRN)


# mmaction/datasets/transforms/formatting.py:81 leaves the path of the file out of the
# metainfo, so results cannot name it. Those of mmseg and mmpretrain have it.
@after_import('mmaction.datasets.transforms.formatting')
def keep_path_in_metainfo(formatting: Any) -> None:
    """Add the path of the video, or of the folder of its frames, as `filename`."""

    @patch_function(formatting.PackActionInputs, 'transform')
    def wrapper(original: Any, self: Any, results: dict[str, Any]) -> dict[str, Any]:
        packed = original(self, results)
        path = results.get('filename') or results.get('frame_dir')
        if path:
            packed['data_samples'].set_metainfo(dict(filename=path))
        return packed


# mmaction/__init__.py:16 refuses mmcv 2.2 and later. OneDL's mmcv is 2.3 and has all
# that mmaction2 uses, but OneDL has no mmaction2. Needed until a release accepts it.
@during_import('mmaction')
def fix_mmcv_version_check() -> Iterator[None]:
    """Show mmaction2 a version of mmcv that it accepts, in place of OneDL's."""
    import mmcv

    version = mmcv.__version__
    if is_distributed('onedl-mmcv'):
        mmcv.__version__ = '2.1.0'
    try:
        yield
    finally:
        mmcv.__version__ = version


# mmaction/datasets/transforms/processing.py:979 adds a shift to uint8 values. numpy 2
# refuses a negative shift. With any numpy the sum wraps around at 256, not at 180, the
# end of the hue scale. Needed until mmaction2 computes it in a wider integer type.
@after_import('mmaction.datasets.transforms.processing')
def fix_color_jitter_overflow(processing: Any) -> None:
    """Let ColorJitter shift the hue around the circle, in either direction."""
    cv2, np = processing.cv2, processing.np

    def adjust_hue(img: Any, factor: float) -> Any:
        hsv = cv2.cvtColor(np.clip(img, 0, 255).astype(np.uint8), cv2.COLOR_RGB2HSV)
        hsv[..., 0] = (hsv[..., 0].astype(int) + int(factor * 255)) % 180
        return cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB).astype(np.float32)

    pink = np.full((1, 1, 3), (255, 0, 128), np.uint8)
    stock = processing.ColorJitter.adjust_hue
    try:
        if all((stock(pink, f) == adjust_hue(pink, f)).all() for f in (-0.5, 0.5)):
            return
    except OverflowError:
        pass
    processing.ColorJitter.adjust_hue = staticmethod(adjust_hue)


# mmaction/models/heads/base.py:129 converts the scores of a training batch to NumPy,
# which has no bfloat16. Needed until mmaction2 converts them to float32 first.
@after_import('mmaction.models.heads.base')
def fix_bfloat16_accuracy(base: Any) -> None:
    """Let heads train under bfloat16 autocast; compute their loss in float32."""
    import torch

    @patch_function(base.BaseHead, 'loss_by_feat')
    def wrapper(original: Any, self: Any, cls_scores: Any, data_samples: Any) -> Any:
        if getattr(cls_scores, 'dtype', None) is torch.bfloat16:
            cls_scores = cls_scores.float()
        return original(self, cls_scores, data_samples)


# mmaction/evaluation/functional/multisports_utils.py:67 calls int() on an array of one
# element, which numpy 2.4 refuses. Needed until mmaction2 extracts the element.
@after_import('mmaction.evaluation.functional.multisports_utils')
def fix_int_of_array(multisports_utils: Any) -> None:
    """Let MultiSportsMetric find the frames that two tubes share."""
    import numpy as np

    multisports_utils.int = lambda value: int(np.reshape(value, ()))


# mmaction/datasets/transforms/wrappers.py:209 sets numpy.bool to Python's bool for
# imgaug, in the whole process. numpy 2 uses its own numpy.bool. Needed until mmaction2
# does so for older versions only.
@after_import('mmaction.datasets.transforms.wrappers')
def fix_replaced_numpy_bool(wrappers: Any) -> None:
    """Restore numpy.bool after ImgAug has replaced it."""
    np = wrappers.np
    if not hasattr(np, 'bool'):
        return

    @patch_function(wrappers.ImgAug, '__init__')
    def wrapper(original: Any, self: Any, *args: Any, **kwargs: Any) -> None:
        numpy_bool = np.bool
        try:
            original(self, *args, **kwargs)
        finally:
            np.bool = numpy_bool
