"""Load a config for the tools."""

import os
import os.path as osp
import sys
import traceback
import warnings
from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
from inspect import signature
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmengine.runner import Runner
from mmengine.utils import import_modules_from_strings

import glore_mm
from glore_mm.checkpoints.mmengine_io import install_atomic_save, install_safe_loaders
from glore_mm.config.build import walk_config
from glore_mm.config.heads import complete_heads
from glore_mm.config.options import parse_options
from glore_mm.utils.device import device_name
from glore_mm.utils.distributed import is_main_process
from glore_mm.utils.errors import UserError, error_message, error_summary

#: Task of a config, by its default scope.
TASKS = {'mmseg': 'seg', 'mmpretrain': 'cls', 'mmaction': 'video'}
#: Names of the tasks, for messages.
TASK_TITLES = dict(seg='segmentation', cls='classification', video='video')
#: Keys that the tools and mmengine's Runner read, besides the Runner's arguments.
_KNOWN_KEYS = {
    'activation_checkpointing', 'binary', 'class_weights', 'classes', 'compile',
    'custom_imports', 'data_root', 'efficient_conv_bn_eval', 'find_unused_parameters',
    'max_non_finite_batches', 'metric', 'metric_limit', 'model_wrapper_cfg',
    'solved_at', 'sync_bn', 'tta_model', 'tta_pipeline', 'variants',
}  # fmt: skip
_OURS = 'glore_mm::'  # prefix of the names of this package's configs


def load_config(
    path: str | os.PathLike[str],
    options: Mapping[str, Any] | Sequence[str] | None = None,
    work_dir: str | None = None,
    launcher: str = 'none',
) -> Config:
    """Read a config, print a summary, and import the library of the task.

    Args:
        path (str | PathLike): The config file. `glore_mm::seg/glore_mini.py` is a
            config of this package, wherever it is installed.
        options (Mapping | Sequence[str], optional): Values to override by dotted key,
            or `KEY=VALUE` strings. A key without a dot that the data sets have, such as
            `data_root` and `classes`, applies to all of them.
        work_dir (str, optional): The output folder. Default: `work_dir` of the config,
            or else ./work_dirs/<name of the config>.
        launcher (str): 'none', 'pytorch', 'slurm' or 'mpi'.

    Returns:
        Config: The config with work_dir and launcher set, and its default scope active.

    Raises:
        UserError: The file does not exist, cannot be read, or is of no known task.
    """
    cfg = _read(os.fspath(path), options or {})
    path = cfg.filename
    cfg.work_dir = work_dir or cfg.get('work_dir') or f'work_dirs/{Path(path).stem}'
    if not isinstance(cfg.work_dir, str):
        raise UserError(f'{path}: work_dir must be a folder, found {cfg.work_dir!r}')
    cfg.launcher = launcher
    os.environ.setdefault('LOCAL_RANK', '0')

    task = find_task_name(cfg)
    if is_main_process():
        print(
            f'config {path} | task {TASK_TITLES[task]} | device {device_name()} | '
            f'work dir {cfg.work_dir}',
            flush=True,
        )
    install_safe_loaders()
    install_atomic_save()
    # hide warnings for developers of OpenMMLab's packages: deprecations, defaults
    warnings.filterwarnings('ignore', module=r'mm(engine|cv|seg|action|pretrain)\.')
    if cfg.get('custom_imports'):
        _import_custom(cfg, task)
    init_default_scope(cfg.default_scope)
    complete_heads(cfg)
    return cfg


def _read(path: str, options: Mapping[str, Any] | Sequence[str]) -> Config:
    """Read a config file and override keys."""
    if path.startswith(_OURS):
        own = osp.join(osp.dirname(glore_mm.__file__), '.mim', 'configs')
        path = osp.join(own, path.removeprefix(_OURS))
    if not osp.isfile(path):
        raise UserError(
            f'no config at {path}. Give a file, or one of this package, such as '
            'glore_mm::seg/glore_mini.py'
        )
    try:
        cfg = Config.fromfile(path, import_custom_modules=False)
        override(cfg, _parse_overrides(options, cfg))
    except UserError:
        raise
    except Exception as error:  # the code of the config can raise any error
        raise UserError(
            f'{path} cannot be read as a config: {error_message(error)}'
        ) from error
    return cfg


def _import_custom(cfg: Config, task: str) -> None:
    """Import the modules of `custom_imports`, also from the folder of the config."""
    folder = osp.dirname(osp.abspath(cfg.filename))
    if folder not in sys.path:
        sys.path.append(folder)
    try:
        import_modules_from_strings(**cfg.custom_imports)
    except Exception as error:  # the code of a module can raise any error
        # mmengine's ImportError does not say what is missing
        found = error.__context__ if isinstance(error, ImportError) else None
        cause = found if isinstance(found, Exception) else error
        *_, frame = traceback.extract_tb(cause.__traceback__)
        place, advice = '', ''
        if not frame.filename.startswith('<frozen'):  # the import itself
            place = f' ({frame.filename}, line {frame.lineno})'
        if isinstance(cause, ModuleNotFoundError):
            extra = 'cls' if 'mmpretrain' in str(cause) else task
            advice = (
                '. Your own modules must be in the folder of the config or in a folder '
                "of PYTHONPATH. For the libraries of OpenMMLab: pip install 'glore-mm"
                f"[{extra}]', and mmcv or mmcv-lite."
            )
        raise UserError(
            f'{cfg.filename}: custom_imports failed: {type(cause).__name__}: '
            f'{error_summary(cause)}{place}{advice}'
        ) from error


def _parse_overrides(
    options: Mapping[str, Any] | Sequence[str], cfg: Config
) -> Mapping[str, Any]:
    """Parse overrides given as `KEY=VALUE` strings; leave a mapping unchanged."""
    if isinstance(options, Mapping):
        return options
    values = dict(walk_config(cfg._cfg_dict))
    values.setdefault('data_root', '')  # parsed as a path even if the config has none
    parsed = parse_options(options, values.get)
    check_keys(parsed, cfg, '--cfg-options ')
    return parsed


def override(cfg: Config, options: Mapping[str, Any]) -> None:
    """Set keys of a config, in place; see `load_config`."""
    cfg.merge_from_dict(options)
    for key in options:
        if '.' not in key:
            _set_in_datasets(cfg, key, options[key])


def check_keys(keys: Iterable[str], cfg: Config, where: str) -> None:
    """Make sure that something reads the keys that options set.

    Args:
        keys (Iterable[str]): Dotted keys.
        cfg (Config): The config.
        where (str): Start of the message.

    Raises:
        UserError: Nothing reads a key: it is unknown, or only a variable of the file.
    """
    known = {*_KNOWN_KEYS, *signature(Runner.__init__).parameters}
    for node in _datasets(cfg):
        known |= {*node}
    for key in keys:
        first = key.partition('.')[0]
        if first in known:
            continue
        paths = [path for path, _ in walk_config(cfg._cfg_dict)]
        similar = [p for p in paths if p.endswith(f'.{key}')]
        if first in cfg:
            problem = (
                f'{first} is a variable of {cfg.filename}, from which other keys were '
                'made: to set it changes none of them.'
            )
            similar = [p for p in similar if p.partition('.')[0] in known]
        else:
            problem = f'{cfg.filename} has no key {first!r}, and nothing reads it.'
            similar = get_close_matches(first, known, 1) + similar
        hint = f' Did you mean {" or ".join(similar[:3])}?' if similar else ''
        raise UserError(f'{where}{key}: {problem}{hint}')


def _set_in_datasets(cfg: Config, key: str, value: object) -> None:
    """Set a key of all data sets that have it; all must have had the same value."""
    datasets = [node for node in _datasets(cfg) if key in node or key == 'classes']
    found = {repr(node.get(key)) for node in datasets}
    if len(found) > 1 or (key == 'data_root' and not found):
        raise UserError(
            f'{cfg.filename}: {key} was given, but the data sets of this config have '
            f'{len(found)} values: {", ".join(sorted(found)) or "none"}. '
            f'Set each by itself: train_dataloader.dataset.{key}=…'
        )
    for node in datasets:
        node[key] = value


def _datasets(cfg: Config) -> list[dict[str, Any]]:
    """Return the data sets of a config: the dicts in its loaders with a data_root."""
    loaders = [cfg.get(f'{loop}_dataloader') for loop in ('train', 'val', 'test')]
    return [
        node
        for _, node in walk_config(loaders)
        if isinstance(node, dict) and 'data_root' in node
    ]


def find_task_name(cfg: Config) -> str:
    """Return the task of a config by its default scope: 'seg', 'cls' or 'video'.

    Raises:
        UserError: No task has this scope.
    """
    scope = cfg.get('default_scope')
    if not isinstance(scope, str) or scope not in TASKS:
        raise UserError(
            f'{cfg.filename}: default_scope is {scope!r}; the tools run configs with '
            f'the scopes {", ".join(TASKS)}'
        )
    return TASKS[scope]
