"""Patches of mmaction2."""

from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from hues import difference, rotate_hue
from mmaction.datasets.transforms import ColorJitter, ImgAug
from mmaction.evaluation.functional.multisports_utils import iou3dt_voc
from processes import seen, write

from glore_mm.compat import mmaction as mmaction_patches
from glore_mm.compat import mmcv as mmcv_patches


def test_drn_names_its_missing_package(libraries):
    assert 'issues/2714' in libraries['drn']


@pytest.mark.parametrize('factor', [-0.5, -0.3, -0.01, 0, 0.01, 0.3, 0.5])
def test_hue_of_mmaction2(colours, factor):
    image = ColorJitter.adjust_hue(colours, factor)
    assert image.dtype == np.float32
    mean, most = difference(image, rotate_hue(colours, int(factor * 255) / 180))
    assert mean < 2 and most < 12


def test_jitter_of_mmaction2_draws_hues_on_both_sides(colours):
    jitter = ColorJitter(brightness=0, contrast=0, saturation=0, hue=0.5)
    for seed in range(8):
        np.random.seed(seed)
        hue = np.random.uniform([1, 1, 1, -0.5], [1, 1, 1, 0.5])[3]
        np.random.seed(seed)
        image = jitter(dict(imgs=[colours]))['imgs'][0]
        mean, _ = difference(image, rotate_hue(colours, int(hue * 255) / 180))
        assert mean < 2, hue


def test_a_correct_hue_is_not_changed():
    def adjust_hue(img, hue_factor, backend=None):
        return img

    module = SimpleNamespace(adjust_hue=adjust_hue)
    mmcv_patches.fix_adjust_hue_overflow(module)
    assert module.adjust_hue is adjust_hue

    sound = ColorJitter.adjust_hue
    processing = SimpleNamespace(
        cv2=cv2, np=np, ColorJitter=SimpleNamespace(adjust_hue=sound)
    )
    mmaction_patches.fix_color_jitter_overflow(processing)
    assert processing.ColorJitter.adjust_hue is sound


def test_tubes_of_multisports_overlap():
    frames = np.arange(3.0)[:, None]
    tube = np.hstack([frames, np.tile([0.0, 0.0, 9.0, 9.0], (3, 1))])
    assert iou3dt_voc(tube, tube) == 1
    assert iou3dt_voc(tube, tube[1:]) == 0.5


def test_imgaug_does_not_remove_numpy_bool():
    numpy_bool = np.bool
    with pytest.raises(ImportError, match='imgaug'):
        ImgAug('default')
    assert np.bool is numpy_bool


def test_mmaction2_with_onedl(tmp_path):
    """Detected by the installed packages; OneDL's mmcv is too new for mmaction2."""
    write(
        tmp_path / 'onedl_mmcv-2.3.6.dist-info' / 'METADATA',
        'Metadata-Version: 2.1\nName: onedl-mmcv\nVersion: 2.3.6\n',
    )
    code = """
        import mmcv
        mmcv.__version__ = '2.3.6'
        import glore_mm
        try:
            import mmaction
            seen['refused'] = False
        except AssertionError:
            seen['refused'] = True
        seen['version'] = mmcv.__version__
        """
    expected = {'refused': False, 'version': '2.3.6'}
    assert seen(code, path=[tmp_path]) == expected
    assert seen(code) == {**expected, 'refused': True}
