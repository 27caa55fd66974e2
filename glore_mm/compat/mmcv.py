"""Patches of mmcv and mmcv-lite 2.1.0. The comments give the line of each fault."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from types import SimpleNamespace
from typing import Any, NoReturn

from glore_mm.compat.import_hook import after_import, patch_function


# mmcv-lite contains mmcv.ops, which imports the compiled mmcv._ext
# (mmcv/utils/ext_loader.py:13). mmseg.models imports mmcv.ops unconditionally
# (mmseg/utils/mask_classification.py:5). Needed until mmseg guards its imports.
@after_import('mmcv.utils.ext_loader')
def fix_missing_mmcv_ops(ext_loader: Any) -> None:
    """Let mmcv.ops be imported; calling a compiled operator raises an error."""
    if find_spec('mmcv._ext'):
        return

    def missing(operator: str) -> Callable[..., NoReturn]:
        def call(*args: Any, **kwargs: Any) -> NoReturn:
            raise RuntimeError(
                f"'{operator}' is one of mmcv's compiled operators, which mmcv-lite "
                'does not have. To use it, replace mmcv-lite by mmcv: '
                'https://mmcv.readthedocs.io/en/latest/get_started/installation.html'
            )

        return call

    def load_ext(name: str, funcs: list[str]) -> SimpleNamespace:
        operators: dict[str, Callable[..., str]] = {f: missing(f) for f in funcs}
        for version in ('get_compiler_version', 'get_compiling_cuda_version'):
            if version in operators:  # mmcv.utils.collect_env prints both
                operators[version] = lambda: 'n/a'
        return SimpleNamespace(**operators)

    ext_loader.load_ext = load_ext


# mmcv/image/photometric.py:546,559 converts a shift to uint8, which numpy 2 refuses if
# the shift is negative. Needed until mmcv computes it modulo 256.
@after_import('mmcv.image.photometric', 'mmcv.image', 'mmcv')
def fix_adjust_hue_overflow(module: Any) -> None:
    """Let adjust_hue take a negative factor, in each module that has it."""
    import numpy as np

    try:
        module.adjust_hue(np.zeros((1, 1, 3), np.uint8), -0.5, backend='cv2')
    except OverflowError:
        pass
    else:
        return

    class Factor(float):
        def __mul__(self, steps: Any) -> int:
            return int(float(self) * steps) % (steps + 1)

    @patch_function(module, 'adjust_hue')
    def wrapper(
        original: Any, img: np.ndarray, hue_factor: float, backend: str | None = None
    ) -> np.ndarray:
        return original(img, Factor(hue_factor), backend)
