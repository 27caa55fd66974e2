"""Patches of cityscapesscripts 2.3.0, whose lines the comment gives."""

from typing import Any

from glore_mm.compat.import_hook import after_import


# cityscapesscripts 2.3.0, which mmseg's CityscapesMetric runs, calls numpy.in1d, gone
# from numpy 2.4 on (evalPixelLevelSemanticLabeling.py:606,646). Needed until a release
# calls numpy.isin.
@after_import(
    'cityscapesscripts.evaluation.evalPixelLevelSemanticLabeling',
    'cityscapesscripts.evaluation.evalInstanceLevelSemanticLabeling',
)
def fix_missing_numpy_in1d(module: Any) -> None:
    """Gives numpy its in1d back."""
    import numpy as np

    if not hasattr(np, 'in1d'):
        vars(np)['in1d'] = lambda *args, **kwargs: np.isin(*args, **kwargs).ravel()
