"""From the command line to a config that is ready to run."""

import argparse
import glob
import importlib.util
import os
import os.path as osp
import warnings
from types import ModuleType

import torch
from mmengine.config import Config, DictAction
from mmengine.registry import init_default_scope
from mmengine.utils import import_modules_from_strings

from glore_mm.engine.reporting import message_of
from glore_mm.errors import UserError

#: Task of a config, by the library it is written for.
TASKS = {'mmseg': 'seg', 'mmpretrain': 'cls', 'mmaction': 'video'}
TASK_NAMES = dict(seg='segmentation', cls='classification', video='video')


def config_parser(doc: str) -> argparse.ArgumentParser:
    """A parser of what every tool takes: a config and overrides of its keys.

    Args:
        doc (str): The tool's docstring; its first line becomes the description.
    """
    parser = argparse.ArgumentParser(description=doc.partition('\n')[0])
    parser.add_argument('config', help='config file')
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=DictAction,
        metavar='KEY=VALUE',
        help='override keys of the config: optim_wrapper.optimizer.lr=0.02',
    )
    return parser


def runner_parser(doc: str) -> argparse.ArgumentParser:
    """`config_parser` of a tool that starts a Runner: also where to write, and how."""
    parser = config_parser(doc)
    parser.add_argument(
        '--work-dir', help='for logs and checkpoints (default: work_dirs/<config>)'
    )
    parser.add_argument(
        '--launcher',
        choices=['none', 'pytorch', 'slurm', 'mpi'],
        default='none',
        help='what starts the processes (default: none, there is one)',
    )
    return parser


def load_config(
    path: str,
    options: dict | None = None,
    work_dir: str | None = None,
    launcher: str = 'none',
) -> Config:
    """Read a config, say what is going to run, and import its task's library.

    Args:
        path (str): The config file.
        options (dict, optional): Keys to override, dotted. A `data_root` here reaches
            every data set that had the config's.
        work_dir (str, optional): Where to write. Default: the config's `work_dir`, else
            ./work_dirs/<name of the config>.
        launcher (str): 'none', 'pytorch', 'slurm' or 'mpi'.

    Returns:
        Config: With work_dir and launcher set, and its default scope active.

    Raises:
        UserError: The file does not exist or cannot be read, or is of no known task.
    """
    if not osp.isfile(path):
        raise UserError(f'no config at {path}')
    try:
        cfg = Config.fromfile(path, import_custom_modules=False)
        if options and 'data_root' in options and 'data_root' in cfg:
            _replace(cfg._cfg_dict, 'data_root', cfg.data_root, options['data_root'])
        cfg.merge_from_dict(options or {})
    except Exception as error:  # whatever the config's own Python raised
        raise UserError(
            f'{path} cannot be read as a config: {message_of(error)}'
        ) from error
    cfg.work_dir = work_dir or cfg.get('work_dir') or f'work_dirs/{_stem(path)}'
    cfg.launcher = launcher
    os.environ.setdefault('LOCAL_RANK', '0')

    name = TASK_NAMES[_task(cfg)]
    if int(os.environ.get('RANK', os.environ.get('SLURM_PROCID', 0))) == 0:
        print(
            f'config {path} | task {name} | device {_device()} | '
            f'work dir {cfg.work_dir}',
            flush=True,
        )
    # what OpenMMLab's packages tell their developers: deprecations, defaults
    warnings.filterwarnings('ignore', module=r'mm(engine|cv|seg|action|pretrain)\.')
    if cfg.get('custom_imports'):
        import_modules_from_strings(**cfg.custom_imports)
    init_default_scope(cfg.default_scope)
    return cfg


def task_of(cfg: Config) -> ModuleType:
    """The module with what a task adds to the tools: `glore_mm.<task>.tools`.

    Raises:
        UserError: The tools have nothing for this task.
    """
    name = f'glore_mm.{_task(cfg)}.tools'
    if importlib.util.find_spec(name.rpartition('.')[0]) is None:
        raise UserError(f'{cfg.filename}: not yet for {TASK_NAMES[_task(cfg)]}')
    return importlib.import_module(name)


def expand_inputs(inputs: list[str], suffixes: tuple[str, ...]) -> list[str]:
    """Files named on the command line, directly, as a folder or as a glob pattern.

    Args:
        inputs (list[str]): Files, folders, patterns.
        suffixes (tuple[str, ...]): What files of a folder must end with, lower case.

    Returns:
        list[str]: Paths, in the order given, those of a folder sorted.

    Raises:
        UserError: An input matches no file.
    """
    files = []
    for name in inputs:
        if osp.isfile(name):
            found = [name]
        elif osp.isdir(name):
            found = [
                osp.join(folder, file)
                for folder, _, names in os.walk(name)
                for file in names
                if file.lower().endswith(suffixes)
            ]
        else:
            found = glob.glob(name, recursive=True)
        if not found:
            raise UserError(
                f'{name}: no such file, no folder with files ending in '
                f'{", ".join(suffixes)}, no pattern that matches any'
            )
        files += sorted(found)
    return files


def _task(cfg: Config) -> str:
    scope = cfg.get('default_scope')
    if scope not in TASKS:
        raise UserError(
            f'{cfg.filename}: default_scope is {scope!r}; the tools run configs of '
            f'{", ".join(TASKS)}'
        )
    return TASKS[scope]


def _device() -> str:
    if torch.cuda.is_available():
        index = int(os.environ['LOCAL_RANK'])
        return f'cuda:{index} ({torch.cuda.get_device_name(index)})'
    return f'cpu ({torch.get_num_threads()} threads)'


def _replace(node: object, key: str, old: str, new: str) -> None:
    """Set `key` to `new` wherever it is `old`, in a tree of dicts and lists."""
    if isinstance(node, dict):
        for name, value in node.items():
            if name == key and value == old:
                node[name] = new
            else:
                _replace(value, key, old, new)
    elif isinstance(node, list | tuple):
        for value in node:
            _replace(value, key, old, new)


def _stem(path: str) -> str:
    return osp.splitext(osp.basename(path))[0]
