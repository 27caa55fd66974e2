"""Names that NumPy has removed and that other packages still use."""

from typing import Any

from glore_mm.compat.import_hook import after_import


# numpy 2.0 removed Inf, and 2.4 removed in1d and trapz. They are used by
# - cityscapesscripts 2.3.0, evalPixelLevelSemanticLabeling.py:606,646: in1d;
# - mmaction2 1.2.0, evaluation/functional/accuracy.py:428: trapz,
#   evaluation/metrics/multimodal_metric.py:514: in1d,
#   datasets/transforms/pose_transforms.py:505-508,1435-1438 and utils/misc.py:66: Inf;
# - mmpretrain 1.2.0, evaluation/metrics/retrieval.py:182,381: in1d.
# Needed until these packages use isin, trapezoid and inf.
@after_import(
    'cityscapesscripts.evaluation.evalPixelLevelSemanticLabeling',
    'cityscapesscripts.evaluation.evalInstanceLevelSemanticLabeling',
    'mmaction.datasets.transforms.pose_transforms',
    'mmaction.evaluation.functional.accuracy',
    'mmaction.evaluation.metrics.multimodal_metric',
    'mmaction.utils.misc',
    'mmpretrain.evaluation.metrics.retrieval',
)
def fix_missing_numpy_names(module: Any) -> None:
    """Restore the names in numpy that these modules use."""
    import numpy as np

    if not hasattr(np, 'in1d'):
        vars(np)['in1d'] = lambda *args, **kwargs: np.isin(*args, **kwargs).ravel()
    if not hasattr(np, 'trapz'):
        vars(np)['trapz'] = np.trapezoid
    if not hasattr(np, 'Inf'):
        vars(np)['Inf'] = np.inf
