"""Patches of mmengine 0.10.7. The comments give the line of each fault."""

from __future__ import annotations

import atexit
import functools
import logging
import os
import sys
from importlib.machinery import PathFinder
from importlib.util import find_spec
from pickle import UnpicklingError
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, NoReturn
from weakref import WeakSet

from glore_mm.compat.import_hook import add_module, after_import, patch_function

if TYPE_CHECKING:
    from torch.nn import Module


# mmengine/utils/dl_utils/collect_env.py:54 imports an exception from distutils, which
# Python 3.12 removed; setuptools has a copy of it, but need not be installed. Needed
# until mmengine does not use distutils.
@after_import('mmengine.utils.dl_utils.collect_env')
def fix_missing_distutils(collect_env: Any) -> None:
    """Let the Runner log the environment without distutils."""
    if PathFinder.find_spec('distutils') or '_distutils_hack' in sys.modules:
        return
    error = type('DistutilsPlatformError', (Exception,), {})
    add_module('distutils', errors=SimpleNamespace(DistutilsPlatformError=error))


# mmengine/utils/package_utils.py:17,48 uses pkg_resources, which setuptools 82 removed.
# Without it `_base_ = 'mmseg::...'`, mmengine.hub and an absolute `read_base()` fail.
# Needed until mmengine uses importlib.metadata.
@after_import(
    'mmengine',
    'mmengine.utils',
    'mmengine.utils.package_utils',
    'mmengine.config.config',
    'mmengine.hub.hub',
)
def fix_missing_pkg_resources(module: Any) -> None:
    """Replace is_installed and get_installed_path in each module that has them."""
    if find_spec('pkg_resources'):
        return
    for function in (is_installed, get_installed_path):
        if hasattr(module, function.__name__):
            setattr(module, function.__name__, function)


def is_installed(package: str) -> bool:
    """Return whether a package is installed, or can at least be imported.

    Args:
        package: The name of the package for pip or for `import`.
    """
    if is_distributed(package):
        return True
    spec = find_spec(package)
    return spec is not None and spec.origin is not None


def is_distributed(package: str) -> bool:
    """Return whether a package is installed under this name, as pip lists it."""
    from importlib import metadata  # slow to import, and rarely needed

    try:
        metadata.distribution(package)
    except metadata.PackageNotFoundError:
        return False
    return True


def get_installed_path(package: str) -> str:
    """Find the folder that a package is imported from, without importing it.

    Args:
        package: The name of the package for pip or for `import`.

    Raises:
        importlib.metadata.PackageNotFoundError: The package is not installed.
        RuntimeError: It is a namespace package, which can have several folders.
        ValueError: It is installed, but the name to import is unknown.
    """
    from importlib import metadata

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
    for name in top_level or [package]:  # an editable install is in another folder
        spec = find_spec(name)
        if spec is not None and spec.origin is not None:
            return os.path.dirname(spec.origin)
    raise ValueError(f'{package} is installed, but the name to import it is unknown')


# This is an addition, not a fix. mmengine/config/utils.py:17 lists the packages of
# OpenMMLab only, and a base config gets the scope of its package. This package has no
# scope: its configs have the scope of their task.
@after_import('mmengine.config')
def register_config_package(config: Any) -> None:
    """Let `_base_ = 'glore_mm::seg/...'` load the configs of this package."""
    config.utils.MODULE2PACKAGE.setdefault('glore_mm', 'glore_mm')
    get_cfg_path = config.Config._get_cfg_path

    @functools.wraps(get_cfg_path)
    def without_scope(cfg_path: str, filename: str) -> tuple[str, str | None]:
        path, scope = get_cfg_path(cfg_path, filename)
        return path, None if scope == 'glore_mm' else scope

    config.Config._get_cfg_path = staticmethod(without_scope)


# mmengine/config/utils.py:159 recognises the modules of Python by their folder. Since
# Python 3.11 some modules, such as os, are frozen and have none, and a lazy config
# cannot call their functions. Needed until mmengine uses sys.stdlib_module_names.
@after_import('mmengine.config.utils', 'mmengine.config.config')
def fix_frozen_modules_in_lazy_configs(utils: Any) -> None:
    """Let lazy configs call functions of frozen modules, such as os.path.join."""

    @patch_function(utils, '_is_builtin_module')
    def wrapper(original: Any, module_name: str) -> bool:
        top = module_name.partition('.')[0]
        return top in sys.stdlib_module_names or original(module_name)


# mmengine/config/lazy.py:103,205 raises a RuntimeError without a message. Needed until
# mmengine adds one.
@after_import('mmengine.config.lazy')
def fix_unexplained_calls_in_lazy_configs(lazy: Any) -> None:
    """Name the call that a lazy config cannot make, and where it is."""

    def refuse(self: Any, *args: Any, **kwargs: Any) -> NoReturn:
        raise RuntimeError(
            f"{self.location or 'A config'} calls '{self}' of '{self.module}', but a "
            'config with lazy imports can only call functions of the standard library. '
            f'To build an object, write dict(type={self}, ...).'
        )

    lazy.LazyObject.__call__ = lazy.LazyAttr.__call__ = refuse


# A checkpoint holds the log as HistoryBuffers (mmengine/logging/history_buffer.py:8).
# torch.load refuses them with weights_only=True, the default since torch 2.6. Needed
# until mmengine saves plain numbers.
@after_import('mmengine.runner.checkpoint')
def fix_weights_only_resume(checkpoint: Any) -> None:
    """Allow the globals that resuming needs, and no others."""
    import _codecs

    import numpy as np
    from mmengine.logging import HistoryBuffer
    from torch import _weights_only_unpickler

    def get_statistic(owner: type, name: str) -> Any:
        if owner is HistoryBuffer and name in {'min', 'max', 'mean', 'current'}:
            return getattr(owner, name)
        raise UnpicklingError(f'The checkpoint uses the attribute {name!r}.')

    # numpy.ndarray and numpy.dtype themselves could build arrays of objects, and use
    # bytes in the file as pointers.
    class Numbers(np.ndarray):
        def __new__(cls, *args: Any, **kwargs: Any) -> Numbers:
            raise UnpicklingError('The checkpoint calls numpy.ndarray.')

        def __setstate__(self, state: Any) -> None:
            version, shape, kind, by_columns, data = state
            if not (isinstance(kind, NumberType) and isinstance(data, bytes)):
                raise UnpicklingError('The checkpoint has an array without numbers.')
            super().__setstate__((version, shape, kind.dtype, by_columns, data))

        def __reduce_ex__(self, protocol: Any) -> Any:
            return self.view(np.ndarray).__reduce_ex__(protocol)

    class NumberType:
        def __init__(self, name: str, align: bool = False, copy: bool = True) -> None:
            if name not in ('i8', 'f4', 'f8'):
                raise UnpicklingError(f'The checkpoint has numbers of type {name!r}.')
            self.dtype = np.dtype(name)

        def __setstate__(self, state: Any) -> None:
            order = state[1]
            if state != (3, order, None, None, None, -1, -1, 0) or order not in '<>':
                raise UnpicklingError(f'The checkpoint has numbers of type {state}.')
            self.dtype = self.dtype.newbyteorder(order)

    def of_bytes(data: object) -> bytearray:
        if not isinstance(data, bytes):
            raise UnpicklingError('The checkpoint calls bytearray without bytes.')
        return bytearray(data)

    # bytearray(n) of a number in the file could fill the memory
    _weights_only_unpickler._get_allowed_globals()['builtins.bytearray'] = of_bytes
    # Methods of HistoryBuffer are pickled as getattr(HistoryBuffer, 'mean'). The real
    # getattr would give access to any attribute.
    _allow('builtins.getattr', get_statistic)
    _allow('mmengine.logging.history_buffer.HistoryBuffer', HistoryBuffer)
    _allow('numpy.ndarray', Numbers)
    _allow('numpy.dtype', NumberType)
    _allow('_codecs.encode', _codecs.encode)  # for bytes; torch allows it since 2.5
    # numpy 2 renamed numpy.core; checkpoints have either name
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
    """Let torch.load(weights_only=True) use a value for a global of this name."""
    import torch

    if name in torch._weights_only_unpickler._get_allowed_globals():
        return
    # torch accepts (value, name) since 2.6; before, it reads the name off the value
    if hasattr(torch.serialization, 'get_unsafe_globals_in_checkpoint'):
        torch.serialization.add_safe_globals([(value, name)])
        return
    if f'{value.__module__}.{value.__name__}' != name:
        value.__module__, _, value.__name__ = name.rpartition('.')
        value.__qualname__ = value.__name__
    torch.serialization.add_safe_globals([value])


# mmengine/runner/checkpoint.py:37 of onedl-mmengine 0.10.12 allows the real getattr and
# numpy.ndarray for each load. Needed until it allows only what its checkpoints contain.
@after_import('mmengine.runner.checkpoint')
def fix_onedl_safe_globals(checkpoint: Any) -> None:
    """Let onedl-mmengine allow no globals beyond those above."""
    if hasattr(checkpoint, 'get_torch_safe_globals'):
        checkpoint.get_torch_safe_globals = list


_ddp_models: WeakSet[Any] = WeakSet()  # models that reference the process group


# mmengine/dist/utils.py:130,164,221 sets a CUDA device for any backend, and the default
# backend, nccl, needs GPUs. Needed until mmengine uses gloo on a CPU. mmengine does not
# destroy the group either. A gloo thread that frees a tensor after the interpreter has
# finalized aborts the program (exit code -6; pytorch/pytorch#179291). The threads end
# with the last reference to the group. Needed until torch ends them.
@after_import('mmengine.dist.utils')
def fix_process_group_on_cpu(utils: Any) -> None:
    """Use gloo for the process group on a CPU; end its threads at exit."""
    from mmengine.device import get_device

    if get_device() != 'cpu':
        return

    def end_group() -> None:
        if not utils.torch_dist.is_initialized():
            return
        group = utils.torch_dist.group.WORLD
        utils.torch_dist.destroy_process_group()
        for model in _ddp_models:
            del model.reducer, model.logger, model.process_group
        del group  # the last reference: waits for the threads, which may need the GIL

    for name in ('_init_dist_pytorch', '_init_dist_mpi', '_init_dist_slurm'):

        @patch_function(utils, name)
        def init_on_cpu(original: Any, backend: str, *args: Any, **kwargs: Any) -> None:
            set_device = utils.torch.cuda.set_device
            utils.torch.cuda.set_device = lambda device: None
            try:
                backend = 'gloo' if backend == 'nccl' else backend
                original(backend, *args, **kwargs)
            finally:
                utils.torch.cuda.set_device = set_device
            atexit.register(end_group)


# mmengine/runner/runner.py:900,911 passes the local rank as device_ids, which torch's
# DistributedDataParallel refuses for a model on a CPU. torch's SyncBatchNorm cannot
# train on a CPU. Needed until mmengine checks the device, and torch supports SyncBN.
@after_import('mmengine.model.wrappers.distributed')
def fix_ddp_on_cpu(distributed: Any) -> None:
    """Wrap a model on a CPU without device_ids, and with BN instead of SyncBN."""
    from mmengine.device import get_device

    if get_device() != 'cpu':
        return

    @patch_function(distributed.MMDistributedDataParallel, '__init__')
    def init_on_cpu(
        original: Any, self: Any, module: Module, *args: Any, **kwargs: Any
    ) -> None:
        original(
            self, _without_sync_bn(module), *args, **{**kwargs, 'device_ids': None}
        )
        _ddp_models.add(self)


# mmengine/_strategy/fsdp.py:156 passes the local rank as device_id, which torch's
# FullyShardedDataParallel takes as the index of a GPU. Needed until mmengine checks the
# device.
@after_import('mmengine.model.wrappers.fully_sharded_distributed')
def fix_fsdp_on_cpu(distributed: Any) -> None:
    """Shard a model on a CPU, with BN instead of SyncBN."""
    import torch
    from mmengine.device import get_device

    if get_device() != 'cpu':
        return

    @patch_function(distributed.MMFullyShardedDataParallel, '__init__')
    def init_on_cpu(
        original: Any, self: Any, module: Module, *args: Any, **kwargs: Any
    ) -> None:
        kwargs['device_id'] = torch.device('cpu')
        original(self, _without_sync_bn(module), *args, **kwargs)


# mmengine/_strategy/fsdp.py:410 calls optim_state_dict_to_load with the order of the
# arguments of torch 2.0; torch 2.1 changed it. Needed until mmengine names them.
@after_import('mmengine._strategy.fsdp')
def fix_fsdp_optimizer_resume(fsdp: Any) -> None:
    """Let FSDPStrategy resume the state of the optimizer."""

    def load_optim_state_dict(self: Any, state_dict: dict[str, Any]) -> None:
        state = fsdp.FSDP.optim_state_dict_to_load(
            model=self.model,
            optim=self.optim_wrapper.optimizer,
            optim_state_dict=state_dict,
        )
        self.optim_wrapper.load_state_dict(state)

    fsdp.FSDPStrategy.load_optim_state_dict = load_optim_state_dict


def _without_sync_bn(model: Module) -> Module:
    from mmengine.logging import print_log
    from mmengine.model import revert_sync_batchnorm
    from torch.nn import SyncBatchNorm

    if any(isinstance(module, SyncBatchNorm) for module in model.modules()):
        print_log(
            'SyncBN needs a GPU. On this CPU the model falls back to BN: each process '
            'normalises with the statistics of its own samples.',
            logger='current',
            level=logging.WARNING,  # mmengine prints it once, on rank 0
        )
        model = revert_sync_batchnorm(model)
    return model
