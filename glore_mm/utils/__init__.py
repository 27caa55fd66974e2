"""Helpers of the toolkit; importing this package checks that mmengine is installed."""

from importlib.util import find_spec

if find_spec('mmengine') is None:
    raise ModuleNotFoundError(
        "this needs OpenMMLab: pip install 'glore-mm[seg]', [cls] or [video], and mmcv "
        'or mmcv-lite; [all] installs everything',
        name='mmengine',
    )
