"""Fixtures: a process that imports all libraries, colours."""

import numpy as np
import pytest
from processes import seen, write


@pytest.fixture(scope='session')
def libraries(tmp_path_factory):
    """State of a Python process that imported all libraries after glore_mm."""
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


@pytest.fixture(scope='session')
def colours():
    return np.random.default_rng(0).integers(0, 256, (16, 16, 3), dtype=np.uint8)
