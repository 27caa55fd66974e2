"""Patches of mmcv."""

import colorsys
import json
import os
import re
import subprocess
import sys
import textwrap
from importlib.util import find_spec

import mmcv
import numpy as np
import pytest
from paths import ROOT


def python(*command, path=(), **environment):
    """Runs Python with these folders on its path and no GPU; returns its output."""
    environment = {
        **os.environ,
        'PYTHONPATH': os.pathsep.join(map(str, [*path, ROOT])),
        'CUDA_VISIBLE_DEVICES': '',
        'OMP_NUM_THREADS': '1',
        **environment,
    }
    run = subprocess.run(
        [sys.executable, *map(str, command)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert run.returncode == 0, run.stdout[-3000:] + run.stderr[-3000:]
    return run.stdout


def seen(code, **options):
    """Runs code in a fresh Python; returns the `seen` that it filled."""
    code = f'import json\nseen = {{}}\n{textwrap.dedent(code)}\nprint(json.dumps(seen))'
    return json.loads(python('-c', code, **options).splitlines()[-1])


def write(path, text=''):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(textwrap.dedent(text))
    return path


@pytest.fixture(scope='module')
def libraries(tmp_path_factory):
    """What a Python saw that imported everything after glore_mm."""
    path = tmp_path_factory.mktemp('libraries')
    evaluation = 'cityscapesscripts/evaluation/evalPixelLevelSemanticLabeling.py'
    write(
        path / evaluation,
        """
        import numpy as np
        def among(labels):
            return np.in1d(labels, [7, 8], invert=True).reshape(labels.shape).tolist()
        """,
    )
    return seen(
        """
        import importlib.util, sys
        import numpy as np, torch
        import glore_mm
        import mmseg.models, mmpretrain.models, mmaction.models, mmcv.ops
        import mmseg.visualization, mmseg.evaluation
        from mmcv.utils import collect_env
        from mmengine.utils.dl_utils import mmcv_full_available
        import cityscapesscripts.evaluation.evalPixelLevelSemanticLabeling as cityscapes

        def error(function, *args):
            try:
                function(*args)
            except RuntimeError as error:
                return str(error)

        one = torch.ones(1, 4, 2, 2)
        seen.update(
            ext=importlib.util.find_spec('mmcv._ext') is not None,
            full=mmcv_full_available(),
            sampled=list(mmcv.ops.point_sample(one, torch.ones(1, 3, 2) / 2).shape),
            nms=error(mmcv.ops.nms, torch.rand(2, 4), torch.rand(2), 0.5),
            psa=error(mmcv.ops.PSAMask('collect', (2, 2)), one),
            compiler=collect_env()['MMCV Compiler'],
            drn=error(mmaction.models.DRN),
            labels=cityscapes.among(np.array([[7, 1], [2, 8]])),
        )
        """,
        path=[path],
    )


needs_mmcv_lite = pytest.mark.skipif(
    find_spec('mmcv._ext') is not None, reason='is about mmcv-lite'
)


@needs_mmcv_lite
def test_mmcv_lite_is_still_seen_as_lite(libraries):
    assert not libraries['ext'] and not libraries['full']
    assert libraries['compiler'] == 'n/a'


@needs_mmcv_lite
def test_compiled_operator_says_what_it_needs(libraries):
    assert libraries['sampled'] == [1, 4, 3]  # needs no compiled operator
    assert re.search("^'nms' .*mmcv-lite has none.*mmcv", libraries['nms'])
    assert re.search("^'psamask_forward' ", libraries['psa'])


def turned(image, turn):
    """An RGB image whose hue is turned by a part of the circle, by the book."""
    for colour in image.reshape(-1, 3) / 255:
        hue, saturation, value = colorsys.rgb_to_hsv(*colour)
        yield colorsys.hsv_to_rgb((hue + turn) % 1, saturation, value)


@pytest.fixture(scope='module')
def colours():
    return np.random.default_rng(0).integers(0, 256, (16, 16, 3), dtype=np.uint8)


def difference(image, expected):
    """Mean and greatest difference, of 255."""
    found = np.abs(image.reshape(-1, 3) - 255 * np.array(list(expected)))
    return found.mean(), found.max()


@pytest.mark.parametrize('factor', [-0.5, -0.3, -0.01, 0, 0.01, 0.3, 0.5])
@pytest.mark.parametrize('backend', ['cv2', 'pillow'])
def test_hue_of_mmcv(colours, backend, factor):
    for adjust_hue in (mmcv.adjust_hue, mmcv.image.photometric.adjust_hue):
        image = adjust_hue(colours[..., ::-1], factor, backend=backend)[..., ::-1]
        assert image.dtype == np.uint8
        mean, most = difference(image, turned(colours, int(factor * 255) / 256))
        assert mean < 1.5 and most < 10
    with pytest.raises(ValueError, match='not in'):
        mmcv.adjust_hue(colours, -0.6)
