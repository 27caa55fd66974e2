"""Patches of cityscapesscripts."""

import json
import os
import subprocess
import sys
import textwrap

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


def test_cityscapesscripts_finds_in1d(libraries):
    assert libraries['labels'] == [[False, True], [True, False]]
