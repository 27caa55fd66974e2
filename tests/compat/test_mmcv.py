"""Patches of mmcv."""

import re
from importlib.util import find_spec

import mmcv
import numpy as np
import pytest
from hues import difference, rotate_hue

needs_mmcv_lite = pytest.mark.skipif(
    find_spec('mmcv._ext') is not None, reason='is about mmcv-lite'
)


@needs_mmcv_lite
def test_mmcv_lite_is_detected(libraries):
    assert not libraries['ext'] and not libraries['full']
    assert libraries['compiler'] == 'n/a'


@needs_mmcv_lite
def test_a_compiled_operator_names_its_missing_package(libraries):
    assert libraries['sampled'] == [1, 4, 3]  # needs no compiled operator
    assert re.search("^'nms' .*mmcv-lite does not have.*mmcv", libraries['nms'])
    assert re.search("^'psamask_forward' ", libraries['psa'])


@pytest.mark.parametrize('factor', [-0.5, -0.3, -0.01, 0, 0.01, 0.3, 0.5])
@pytest.mark.parametrize('backend', ['cv2', 'pillow'])
def test_hue_of_mmcv(colours, backend, factor):
    for adjust_hue in (mmcv.adjust_hue, mmcv.image.photometric.adjust_hue):
        image = adjust_hue(colours[..., ::-1], factor, backend=backend)[..., ::-1]
        assert image.dtype == np.uint8
        mean, most = difference(image, rotate_hue(colours, int(factor * 255) / 256))
        assert mean < 1.5 and most < 10
    with pytest.raises(ValueError, match='not in'):
        mmcv.adjust_hue(colours, -0.6)
