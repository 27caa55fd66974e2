"""Patches of mmaction2."""

import colorsys
import json
import os
import subprocess
import sys
import textwrap
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from mmaction.datasets.transforms import ColorJitter
from paths import ROOT

from glore_mm.compat import mmaction as mmaction_patches
from glore_mm.compat import mmcv as mmcv_patches


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


def test_drn_says_what_it_needs(libraries):
    assert 'issues/2714' in libraries['drn']


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
def test_hue_of_mmaction2(colours, factor):
    image = ColorJitter.adjust_hue(colours, factor)
    assert image.dtype == np.float32
    mean, most = difference(image, turned(colours, int(factor * 255) / 180))
    assert mean < 2 and most < 12


def test_jitter_of_mmaction2_draws_hues_on_both_sides(colours):
    jitter = ColorJitter(brightness=0, contrast=0, saturation=0, hue=0.5)
    for seed in range(8):
        np.random.seed(seed)
        hue = np.random.uniform([1, 1, 1, -0.5], [1, 1, 1, 0.5])[3]
        np.random.seed(seed)
        image = jitter(dict(imgs=[colours]))['imgs'][0]
        mean, _ = difference(image, turned(colours, int(hue * 255) / 180))
        assert mean < 2, hue


def test_sound_hue_is_left_alone():
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


def test_mmaction2_beside_onedl(tmp_path):
    """Which is seen by what is installed, and whose mmcv is too new for mmaction2."""
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
