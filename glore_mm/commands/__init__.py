"""The console scripts; tools/ has the same, and more, for a checkout."""

import sys
from importlib.util import find_spec

if find_spec('mmengine') is None:
    sys.exit(
        "error: this needs OpenMMLab: pip install 'glore-mm[seg]', [cls] or [video], "
        'and mmcv or mmcv-lite; [all] brings everything'
    )
