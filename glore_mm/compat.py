"""Mends what keeps the stock OpenMMLab releases from working on current PyTorch.

Every function decorated with `after_import` or `during_import` mends one fault of
another package and is named after what it mends. It runs when that package's module is
first imported, so that importing glore_mm stays cheap, and changes nothing where the
fault is absent: with a full mmcv, a repaired mmaction2, an older PyTorch, a GPU. Lines
that the comments give are those of mmengine 0.10.7, mmcv-lite 2.1.0, mmsegmentation
1.2.2, mmaction2 1.2.0.
"""

from __future__ import annotations

import atexit
import functools
import logging
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from importlib import metadata
from importlib.machinery import ModuleSpec, PathFinder
from importlib.util import find_spec, module_from_spec
from pickle import UnpicklingError
from types import ModuleType, SimpleNamespace
from typing import TYPE_CHECKING, Any, NoReturn

if TYPE_CHECKING:
    from torch.nn import Module

__all__ = [
    'after_import',
    'during_import',
    'get_installed_path',
    'install',
    'is_installed',
]

_Patch = Callable[[Any], None]  # is given the module to be mended
_Context = Callable[[], Iterator[None]]

_patches: dict[str, list[_Patch]] = {}
_circumstances: dict[str, list[Callable[[], AbstractContextManager[None]]]] = {}


def install() -> None:
    """Mends the modules imported so far, and each later one when it is imported."""
    if _PatchFinder not in sys.meta_path:
        sys.meta_path.insert(0, _PatchFinder)
        for name in _patches:
            if name in sys.modules:
                _mend(name)


def after_import(*names: str) -> Callable[[_Patch], _Patch]:
    """Registers a function that `install` calls with each of the modules named.

    Args:
        *names: Full names of the modules. Those that are never imported cost nothing.
    """

    def register(patch: _Patch) -> _Patch:
        for name in names:
            _patches.setdefault(name, []).append(patch)
        return patch

    return register


def during_import(name: str) -> Callable[[_Context], _Context]:
    """Registers a context in which the module named is executed, as after_import does.

    Args:
        name: Full name of the module.
    """

    def register(context: _Context) -> _Context:
        _circumstances.setdefault(name, []).append(contextmanager(context))
        return context

    return register


def _mend(name: str) -> None:
    for patch in _patches.get(name, ()):
        patch(sys.modules[name])


class _PatchFinder:
    """Finds a module to be mended where the other finders of `sys.meta_path` do."""

    @staticmethod
    def find_spec(
        name: str, path: Any = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if name not in _patches and name not in _circumstances:
            return None
        for finder in sys.meta_path:
            if finder is not _PatchFinder and hasattr(finder, 'find_spec'):
                spec = finder.find_spec(name, path, target)
                if spec and spec.loader:
                    spec.loader = _PatchLoader(spec.loader)  # type: ignore[assignment]
                    return spec
        return None


class _PatchLoader:
    """Executes a module as its own loader does, and then mends it."""

    def __init__(self, loader: Any) -> None:
        self._loader = loader

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loader, name)

    def exec_module(self, module: Any) -> None:
        module.__loader__ = module.__spec__.loader = self._loader
        name = module.__spec__.name
        with ExitStack() as stack:
            for context in _circumstances.get(name, ()):
                stack.enter_context(context())
            self._loader.exec_module(module)
        _mend(name)


def _stand_in(name: str, **attributes: Any) -> None:
    """Makes `import name` yield a module that has nothing but these attributes."""
    module = sys.modules[name] = module_from_spec(ModuleSpec(name, loader=None))
    vars(module).update(attributes)


# ---------------------------------------------------------------- missing modules


# mmcv-lite ships mmcv.ops, which asks for the compiled mmcv._ext as soon as it is
# imported (mmcv/utils/ext_loader.py:13), and mmseg.models imports mmcv.ops unguarded
# (mmseg/utils/mask_classification.py:5). Wanted until mmseg guards its imports.
@after_import('mmcv.utils.ext_loader')
def operators_that_mmcv_lite_lacks(ext_loader: Any) -> None:
    """Lets mmcv.ops be imported; a compiled operator says what is wrong when called."""
    if find_spec('mmcv._ext'):
        return

    def missing(operator: str) -> Callable[..., NoReturn]:
        def call(*args: Any, **kwargs: Any) -> NoReturn:
            raise RuntimeError(
                f"'{operator}' is one of mmcv's compiled operators, and mmcv-lite has "
                'none of them. To use it, replace mmcv-lite by mmcv: '
                'https://mmcv.readthedocs.io/en/latest/get_started/installation.html'
            )

        return call

    def load_ext(name: str, funcs: list[str]) -> SimpleNamespace:
        operators: dict[str, Callable[..., str]] = {f: missing(f) for f in funcs}
        for version in ('get_compiler_version', 'get_compiling_cuda_version'):
            if version in operators:  # mmcv.utils.collect_env prints these two
                operators[version] = lambda: 'n/a'
        return SimpleNamespace(**operators)

    ext_loader.load_ext = load_ext


# mmaction/models/localizers/__init__.py:4 imports the package drn, which the released
# wheel lacks (mmaction2 #2714). Wanted until a release contains it.
@after_import('mmaction')
def localizer_that_mmaction2_lacks(mmaction: Any) -> None:
    """Lets mmaction.models be imported; the DRN in it says what is wrong when built."""
    localizers = os.path.join(os.path.dirname(mmaction.__file__), 'models/localizers')
    if os.path.exists(os.path.join(localizers, 'drn')):
        return

    class DRN:
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            raise RuntimeError(
                'mmaction2 was released without its localizer DRN, see '
                'https://github.com/open-mmlab/mmaction2/issues/2714. To use it, '
                'install mmaction2 from a clone of its repository.'
            )

    _stand_in('mmaction.models.localizers.drn.drn', DRN=DRN)


# mmaction/__init__.py:16 refuses mmcv from 2.2 on, and OneDL, whose mmcv is 2.3 and has
# what mmaction2 asks of one, has no mmaction2 to go with it. Wanted until a release
# takes it.
@during_import('mmaction')
def version_of_mmcv_that_mmaction2_takes() -> Iterator[None]:
    """Shows mmaction2 the version of mmcv that the one of OneDL can stand in for."""
    import mmcv

    version = mmcv.__version__
    if _is_distributed('onedl-mmcv'):
        mmcv.__version__ = '2.1.0'
    try:
        yield
    finally:
        mmcv.__version__ = version


# mmengine/utils/dl_utils/collect_env.py:54 takes an exception from distutils, which is
# gone from Python 3.12 on; where there is setuptools, that brings its own copy. Wanted
# until mmengine does without.
@after_import('mmengine.utils.dl_utils.collect_env')
def exceptions_of_distutils(collect_env: Any) -> None:
    """Lets the Runner log the environment where there is no distutils."""
    if PathFinder.find_spec('distutils') or '_distutils_hack' in sys.modules:
        return
    error = type('DistutilsPlatformError', (Exception,), {})
    _stand_in('distutils', errors=SimpleNamespace(DistutilsPlatformError=error))


# ------------------------------------------------------------- installed packages


# mmengine/utils/package_utils.py:17,48 uses pkg_resources, which left setuptools in 82.
# Without it `_base_ = 'mmseg::...'`, mmengine.hub and an absolute `read_base()` fail.
# Wanted until mmengine uses importlib.metadata.
@after_import(
    'mmengine',
    'mmengine.utils',
    'mmengine.utils.package_utils',
    'mmengine.config.config',
    'mmengine.hub.hub',
)
def look_up_without_pkg_resources(module: Any) -> None:
    """Replaces the two look-ups in each module that imported them by name."""
    if find_spec('pkg_resources'):
        return
    for function in (is_installed, get_installed_path):
        if hasattr(module, function.__name__):
            setattr(module, function.__name__, function)


def is_installed(package: str) -> bool:
    """Tells whether a package is installed, or can at least be imported.

    Args:
        package: Its name as pip or as Python's import knows it.
    """
    if _is_distributed(package):
        return True
    spec = find_spec(package)
    return spec is not None and spec.origin is not None


def _is_distributed(package: str) -> bool:
    try:
        metadata.distribution(package)
    except metadata.PackageNotFoundError:
        return False
    return True


def get_installed_path(package: str) -> str:
    """Finds the folder that a package is imported from, without importing it.

    Args:
        package: Its name as pip or as Python's import knows it.

    Raises:
        importlib.metadata.PackageNotFoundError: It is not installed.
        RuntimeError: It is a namespace package, which has more folders than one.
        ValueError: It is installed, and how to import it is not known.
    """
    try:
        distribution = metadata.distribution(package)
    except metadata.PackageNotFoundError:
        spec = find_spec(package)
        if spec is None:
            raise
        if spec.origin is None:
            raise RuntimeError(f'{package} is a namespace package') from None
        return os.path.dirname(spec.origin)
    top_level = (distribution.read_text('top_level.txt') or '').split()
    for name in (package, *top_level):
        folder = str(distribution.locate_file(name))
        if os.path.isdir(folder):
            return folder
    for name in top_level or [package]:  # which, being editable, are kept elsewhere
        spec = find_spec(name)
        if spec is not None and spec.origin is not None:
            return os.path.dirname(spec.origin)
    raise ValueError(f'{package} is installed, but under what name to import it?')


# No fault, but an addition: mmengine/config/utils.py:17 lists OpenMMLab's own packages
# only, and gives all that comes from another package the scope of that package's
# registries. Ours has none: its configs are written in the scope of their task.
@after_import('mmengine.config')
def configs_of_glore_mm(config: Any) -> None:
    """Lets `_base_ = 'glore_mm::seg/...'` name the configs of this package."""
    config.utils.MODULE2PACKAGE.setdefault('glore_mm', 'glore_mm')
    get_cfg_path = config.Config._get_cfg_path

    @functools.wraps(get_cfg_path)
    def without_scope(cfg_path: str, filename: str) -> tuple[str, str | None]:
        path, scope = get_cfg_path(cfg_path, filename)
        return path, None if scope == 'glore_mm' else scope

    config.Config._get_cfg_path = staticmethod(without_scope)


# -------------------------------------------------------------------- checkpoints


# A checkpoint holds the log as HistoryBuffers (mmengine/logging/history_buffer.py:8),
# which torch.load refuses where it is weights_only, its default since torch 2.6. Wanted
# until mmengine saves plain numbers.
@after_import('mmengine.runner.checkpoint')
def resuming_with_weights_only(checkpoint: Any) -> None:
    """Allows the smallest set of globals that training can be resumed with."""
    import _codecs

    import numpy as np
    from mmengine.logging import HistoryBuffer
    from torch import _weights_only_unpickler

    def get_statistic(owner: type, name: str) -> Any:
        if owner is HistoryBuffer and name in {'min', 'max', 'mean', 'current'}:
            return getattr(owner, name)
        raise UnpicklingError(f'The checkpoint asks for an attribute {name!r}.')

    # NumPy's own ndarray and dtype would make arrays of objects from the bytes in a
    # file, which are then taken for pointers.
    class Numbers(np.ndarray):
        def __new__(cls, *args: Any, **kwargs: Any) -> Numbers:
            raise UnpicklingError('The checkpoint asks for an array of anything.')

        def __setstate__(self, state: Any) -> None:
            version, shape, kind, by_columns, data = state
            if not (isinstance(kind, NumberType) and isinstance(data, bytes)):
                raise UnpicklingError('The checkpoint asks for an array of no numbers.')
            super().__setstate__((version, shape, kind.dtype, by_columns, data))

        def __reduce_ex__(self, protocol: Any) -> Any:
            return self.view(np.ndarray).__reduce_ex__(protocol)

    class NumberType:
        def __init__(self, name: str, align: bool = False, copy: bool = True) -> None:
            if name not in ('i8', 'f4', 'f8'):
                raise UnpicklingError(f'The checkpoint asks for numbers of {name!r}.')
            self.dtype = np.dtype(name)

        def __setstate__(self, state: Any) -> None:
            order = state[1]
            if state != (3, order, None, None, None, -1, -1, 0) or order not in '<>':
                raise UnpicklingError(f'The checkpoint asks for numbers of {state}.')
            self.dtype = self.dtype.newbyteorder(order)

    def of_bytes(data: object) -> bytearray:
        if not isinstance(data, bytes):
            raise UnpicklingError('The checkpoint asks for a bytearray of any size.')
        return bytearray(data)

    # a number in the file would be enough to fill the memory
    _weights_only_unpickler._get_allowed_globals()['builtins.bytearray'] = of_bytes
    # Its methods are pickled as getattr(HistoryBuffer, 'mean') and so on. The real
    # getattr would open the way to everything.
    _allow('builtins.getattr', get_statistic)
    _allow('mmengine.logging.history_buffer.HistoryBuffer', HistoryBuffer)
    _allow('numpy.ndarray', Numbers)
    _allow('numpy.dtype', NumberType)
    _allow('_codecs.encode', _codecs.encode)  # of bytes; torch allows it since 2.5
    # numpy 2 renamed numpy.core, and either writes checkpoints for the other
    for core in ('numpy.core', 'numpy._core'):
        _allow(
            f'{core}.multiarray._reconstruct',
            lambda owner, shape, name: np.zeros(0).view(Numbers),
        )
        _allow(
            f'{core}.multiarray.scalar',
            lambda kind, data: np.frombuffer(data, kind.dtype, 1)[0],
        )


def _allow(name: str, value: Any) -> None:
    """Lets weights_only take a value for what a checkpoint calls by this name."""
    import torch

    if name in torch._weights_only_unpickler._get_allowed_globals():
        return
    # torch takes such pairs since 2.6; before, it asks the value for its name
    if hasattr(torch.serialization, 'get_unsafe_globals_in_checkpoint'):
        torch.serialization.add_safe_globals([(value, name)])
        return
    if f'{value.__module__}.{value.__name__}' != name:
        value.__module__, _, value.__name__ = name.rpartition('.')
        value.__qualname__ = value.__name__
    torch.serialization.add_safe_globals([value])


# mmengine/runner/checkpoint.py:37 of onedl-mmengine 0.10.12 allows the real getattr and
# NumPy's own arrays, each time that it loads. Wanted until it allows what is in its own
# checkpoints, and no more.
@after_import('mmengine.runner.checkpoint')
def globals_that_onedl_allows(checkpoint: Any) -> None:
    """Leaves the globals above to be all that onedl-mmengine allows."""
    if hasattr(checkpoint, 'get_torch_safe_globals'):
        checkpoint.get_torch_safe_globals = list


# mmengine/runner/checkpoint.py:790 writes over the file that is there, so that whatever
# ends a run meanwhile leaves neither. Wanted until mmengine writes a new file first.
@after_import('mmengine.runner.checkpoint', 'mmengine.runner.runner')
def checkpoints_written_whole(module: Any) -> None:
    """Lets a checkpoint appear when it is complete, where it is a file."""
    save_checkpoint = module.save_checkpoint
    if hasattr(save_checkpoint, '__wrapped__'):
        return

    @functools.wraps(save_checkpoint)
    def wrapper(
        checkpoint: dict[str, Any],
        filename: str,
        file_client_args: dict[str, Any] | None = None,
        backend_args: dict[str, Any] | None = None,
    ) -> None:
        if file_client_args or backend_args or '://' in filename:
            save_checkpoint(checkpoint, filename, file_client_args, backend_args)
            return
        from glore_mm.checkpoints import write_checkpoint

        write_checkpoint(checkpoint, filename)

    module.save_checkpoint = wrapper


# ------------------------------------------------ several processes without a GPU


# mmengine/dist/utils.py:130,164,221 sets a CUDA device whatever the backend is, and the
# default one, nccl, wants GPUs. Wanted until mmengine takes gloo on a CPU. Nor does it
# end the group, and gloo's threads, alive when a finished program exits, now and then
# abort it (exit code -6). Wanted until mmengine destroys what it initialises.
@after_import('mmengine.dist.utils')
def process_groups_on_cpu(utils: Any) -> None:
    """Initialises the process group with gloo on a CPU; destroys it at the end."""
    from mmengine.device import get_device

    if get_device() != 'cpu':
        return

    def end_group() -> None:
        if utils.torch_dist.is_initialized():
            utils.torch_dist.destroy_process_group()

    def on_cpu(init: Callable[..., None]) -> Callable[..., None]:
        @functools.wraps(init)
        def wrapper(backend: str, *args: Any, **kwargs: Any) -> None:
            set_device = utils.torch.cuda.set_device
            utils.torch.cuda.set_device = lambda device: None
            try:
                backend = 'gloo' if backend == 'nccl' else backend
                init(backend, *args, **kwargs)
            finally:
                utils.torch.cuda.set_device = set_device
            atexit.register(end_group)

        return wrapper

    for name in ('_init_dist_pytorch', '_init_dist_mpi', '_init_dist_slurm'):
        setattr(utils, name, on_cpu(getattr(utils, name)))


# mmengine/runner/runner.py:900,911 gives the local rank as device_ids, which torch's
# DistributedDataParallel refuses for a model on a CPU, and its SyncBatchNorm refuses to
# train on one at all. Wanted until mmengine asks for the device, and torch does both.
@after_import('mmengine.model.wrappers.distributed')
def data_parallel_on_cpu(distributed: Any) -> None:
    """Wraps a model on a CPU without device_ids, and with BN in the place of SyncBN."""
    from mmengine.device import get_device

    if get_device() != 'cpu':
        return
    init = distributed.MMDistributedDataParallel.__init__

    @functools.wraps(init)
    def init_on_cpu(self: Any, module: Module, *args: Any, **kwargs: Any) -> None:
        init(self, _without_sync_bn(module), *args, **{**kwargs, 'device_ids': None})

    distributed.MMDistributedDataParallel.__init__ = init_on_cpu


def _without_sync_bn(model: Module) -> Module:
    from mmengine.logging import print_log
    from mmengine.model import revert_sync_batchnorm
    from torch.nn import SyncBatchNorm

    if any(isinstance(module, SyncBatchNorm) for module in model.modules()):
        print_log(
            'SyncBN needs a GPU. On this CPU the model falls back to BN: each process '
            'normalises with the statistics of its own samples.',
            logger='current',
            level=logging.WARNING,  # which mmengine prints once, on rank 0
        )
        model = revert_sync_batchnorm(model)
    return model


# -------------------------------------------------------------------------- images


# mmcv/image/photometric.py:546,559 makes a byte of a shift that is negative as often as
# not, which numpy 2 refuses. Wanted until mmcv computes it modulo 256.
@after_import('mmcv.image.photometric', 'mmcv.image', 'mmcv')
def negative_shift_of_the_hue(module: Any) -> None:
    """Lets adjust_hue take a negative factor, in each module that imported it."""
    import numpy as np

    adjust_hue = module.adjust_hue
    try:
        adjust_hue(np.zeros((1, 1, 3), np.uint8), -0.5, backend='cv2')
    except OverflowError:
        pass
    else:
        return

    class Factor(float):
        def __mul__(self, steps: Any) -> int:
            return int(float(self) * steps) % (steps + 1)

    @functools.wraps(adjust_hue)
    def wrapper(
        img: np.ndarray, hue_factor: float, backend: str | None = None
    ) -> np.ndarray:
        return adjust_hue(img, Factor(hue_factor), backend)

    module.adjust_hue = wrapper


# mmaction/datasets/transforms/processing.py:979 adds a shift to bytes. numpy 2 refuses
# a negative one, and with any numpy sums wrap around at 256 before they wrap around at
# 180, the end of the scale. Wanted until mmaction2 computes it in integers.
@after_import('mmaction.datasets.transforms.processing')
def shift_of_the_hue_in_bytes(processing: Any) -> None:
    """Lets ColorJitter shift the hue around the circle, in either direction."""
    cv2, np = processing.cv2, processing.np

    def adjust_hue(img: Any, factor: float) -> Any:
        hsv = cv2.cvtColor(np.clip(img, 0, 255).astype(np.uint8), cv2.COLOR_RGB2HSV)
        hsv[..., 0] = (hsv[..., 0].astype(int) + int(factor * 255)) % 180
        return cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB).astype(np.float32)

    pink = np.full((1, 1, 3), (255, 0, 128), np.uint8)
    stock = processing.ColorJitter.adjust_hue
    try:
        if all((stock(pink, f) == adjust_hue(pink, f)).all() for f in (-0.5, 0.5)):
            return
    except OverflowError:
        pass
    processing.ColorJitter.adjust_hue = staticmethod(adjust_hue)


# mmaction/models/heads/base.py:129 turns the scores of a training batch into NumPy's,
# which has no bfloat16. Wanted until mmaction2 converts them first.
@after_import('mmaction.models.heads.base')
def accuracy_of_scores_in_bfloat16(base: Any) -> None:
    """Lets heads train under autocast to bfloat16; their loss is in float32 then."""
    import torch

    loss_by_feat = base.BaseHead.loss_by_feat

    @functools.wraps(loss_by_feat)
    def wrapper(self: Any, cls_scores: Any, data_samples: Any) -> Any:
        if getattr(cls_scores, 'dtype', None) is torch.bfloat16:
            cls_scores = cls_scores.float()
        return loss_by_feat(self, cls_scores, data_samples)

    base.BaseHead.loss_by_feat = wrapper


# ---------------------------------------------------------------------- evaluation


# cityscapesscripts 2.3.0, which mmseg's CityscapesMetric runs, calls numpy.in1d, gone
# from numpy 2.4 on (evalPixelLevelSemanticLabeling.py:606,646). Wanted until a release
# calls numpy.isin.
@after_import(
    'cityscapesscripts.evaluation.evalPixelLevelSemanticLabeling',
    'cityscapesscripts.evaluation.evalInstanceLevelSemanticLabeling',
)
def numpy_in1d_for_cityscapesscripts(module: Any) -> None:
    """Gives numpy its in1d back."""
    import numpy as np

    if not hasattr(np, 'in1d'):
        vars(np)['in1d'] = lambda *args, **kwargs: np.isin(*args, **kwargs).ravel()
