"""From the command line to a config that is ready to run."""

import argparse
import glob
import importlib
import os
import os.path as osp
import warnings
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from mmengine.config import Config, DictAction
from mmengine.registry import DATASETS, init_default_scope
from mmengine.utils import import_modules_from_strings

import glore_mm
from glore_mm.checkpoints import load_safely
from glore_mm.drafts import make_folder
from glore_mm.engine.building import nodes_of, part_of
from glore_mm.engine.processes import is_first_process
from glore_mm.engine.reporting import message_of
from glore_mm.errors import UserError
from glore_mm.machine import processor_name

#: Task of a config, by the library it is written for.
TASKS = {'mmseg': 'seg', 'mmpretrain': 'cls', 'mmaction': 'video'}
TASK_NAMES = dict(seg='segmentation', cls='classification', video='video')
_OURS = 'glore_mm::'  # in front of the name of a config of this package


def parser_of(doc: str | None) -> argparse.ArgumentParser:
    """A parser for a tool.

    Args:
        doc (str | None): The tool's docstring, which `python -OO` drops; its first line
            becomes the description.
    """
    return argparse.ArgumentParser(description=(doc or '').partition('\n')[0])


def config_parser(doc: str | None) -> argparse.ArgumentParser:
    """`parser_of` a tool that takes a config, and overrides of its keys."""
    parser = parser_of(doc)
    parser.add_argument('config', help='config file')
    add_cfg_options(parser)
    return parser


def add_cfg_options(parser: argparse.ArgumentParser) -> None:
    """Let a parser take overrides of a config's keys."""
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=DictAction,
        metavar='KEY=VALUE',
        help='override keys of the config: optim_wrapper.optimizer.lr=0.02',
    )


def inputs_parser(doc: str | None) -> argparse.ArgumentParser:
    """`config_parser` of a tool that runs a checkpoint on files."""
    parser = config_parser(doc)
    parser.add_argument('checkpoint', help='weights')
    parser.add_argument('inputs', nargs='+', help='files, folders or glob patterns')
    return parser


def runner_parser(doc: str | None) -> argparse.ArgumentParser:
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
    parser.add_argument(
        '--compile', action='store_true', help='run the network by torch.compile'
    )
    return parser


def load_config(
    path: str | os.PathLike[str],
    options: dict[str, Any] | None = None,
    work_dir: str | None = None,
    launcher: str = 'none',
) -> Config:
    """Read a config, say what is going to run, and import its task's library.

    Args:
        path (str | PathLike): The config file; `glore_mm::seg/glore_mini.py` is one of
            this package, wherever it is installed.
        options (dict, optional): Keys to override, dotted. `data_root` and `classes`
            are those of every data set, `reader` is what decodes the videos of each.
        work_dir (str, optional): Where to write. Default: the config's `work_dir`, else
            ./work_dirs/<name of the config>.
        launcher (str): 'none', 'pytorch', 'slurm' or 'mpi'.

    Returns:
        Config: With work_dir and launcher set, and its default scope active.

    Raises:
        UserError: The file does not exist or cannot be read, or is of no known task.
    """
    path = os.fspath(path)
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
        cfg.merge_from_dict(options or {})
    except Exception as error:  # whatever the config's own Python raised
        raise UserError(
            f'{path} cannot be read as a config: {message_of(error)}'
        ) from error
    if options and 'data_root' in options:
        _move_data(cfg, options['data_root'])
    if options and 'classes' in options:
        for node in _with_key(_loaders(cfg), 'data_root'):
            node['classes'] = options['classes']
    if options and 'reader' in options:
        for node in _with_key(_loaders(cfg), 'reader'):
            node['reader'] = options['reader']
    cfg.work_dir = work_dir or cfg.get('work_dir') or f'work_dirs/{_stem(path)}'
    if not isinstance(cfg.work_dir, str):
        raise UserError(f'{path}: work_dir must be a folder, found {cfg.work_dir!r}')
    cfg.launcher = launcher
    os.environ.setdefault('LOCAL_RANK', '0')

    name = TASK_NAMES[_task(cfg)]
    if is_first_process():
        print(
            f'config {path} | task {name} | device {device_name()} | '
            f'work dir {cfg.work_dir}',
            flush=True,
        )
    load_safely()
    # what OpenMMLab's packages tell their developers: deprecations, defaults
    warnings.filterwarnings('ignore', module=r'mm(engine|cv|seg|action|pretrain)\.')
    if cfg.get('custom_imports'):
        try:
            import_modules_from_strings(**cfg.custom_imports)
        except TypeError as error:
            raise UserError(f'{path}: custom_imports: {error}') from error
        except ImportError as error:
            extra = 'cls' if 'mmpretrain' in str(error) else _task(cfg)
            raise UserError(
                f'{path}: custom_imports failed: {error}. Install what it needs: '
                f"pip install 'glore-mm[{extra}]', and mmcv or mmcv-lite."
            ) from error
    init_default_scope(cfg.default_scope)
    return cfg


def add_outputs(
    cfg: Config,
    format_dir: str | None = None,
    show_dir: str | None = None,
    dump: str | None = None,
) -> None:
    """Let a test write more than its metric; the arguments are those of tools/test.py.

    Raises:
        UserError: The task's benchmark has no server to submit predictions to.
    """
    task = task_of(cfg)
    if format_dir and task.SUBMISSION is None:
        raise UserError(
            f'--format-dir: there is no server that takes predictions of '
            f'{TASK_NAMES[_task(cfg)]}'
        )
    present = cfg.test_evaluator
    evaluators = list(present) if isinstance(present, list) else [present]
    if format_dir:
        evaluators.append(dict(type=task.SUBMISSION, folder=format_dir))
    if dump:
        evaluators.append(dict(type=task.DUMP, path=dump))
    cfg.test_evaluator = evaluators
    if show_dir:
        hook = dict(type=task.PICTURES, folder=show_dir)
        cfg.custom_hooks = [*cfg.get('custom_hooks', []), hook]


def set_views(cfg: Config, clips: int, crops: int) -> None:
    """Let a test average over clips and crops, where a task knows how.

    Raises:
        UserError: It is of images, which have no clips.
    """
    task = task_of(cfg)
    if not hasattr(task, 'set_views'):
        raise UserError(f'--views is for video; for {cfg.filename} try --tta')
    task.set_views(cfg, clips, crops)


def metainfo_of(cfg: Config) -> dict[str, Any]:
    """What a config's test set says of itself, its classes among it; reads no data."""
    return DATASETS.build(dict(cfg.test_dataloader.dataset, lazy_init=True)).metainfo


def task_of(cfg: Config) -> ModuleType:
    """The module with what a task adds to the tools: `glore_mm.<task>.tools`."""
    return importlib.import_module(f'glore_mm.{_task(cfg)}.tools')


def example_inputs(cfg: Config) -> dict[str, Any]:
    """One sample of the size that a config tests on, as the network's arguments.

    Raises:
        UserError: The config has no test set, whose pipeline tells the size.
    """
    if part_of(cfg, 'test_dataloader.dataset.pipeline') is None:
        raise UserError(
            f'{cfg.filename}: test_dataloader.dataset.pipeline tells the size of the '
            'input, found none. Give a config that tests.'
        )
    return task_of(cfg).example_inputs(cfg)


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
            found = [f for f in glob.glob(name, recursive=True) if osp.isfile(f)]
        if not found:
            raise UserError(
                f'{name}: no such file, no folder with files ending in '
                f'{", ".join(suffixes)}, no pattern that matches any'
            )
        files += sorted(found)
    return files


def output_files(
    inputs: list[str],
    out_dir: str,
    names: Callable[[Path], list[str]],
    legend: str | None = None,
) -> dict[str, list[Path]]:
    """The files to write for each input; makes their folder.

    Args:
        inputs (list[str]): Paths.
        out_dir (str): Where to write.
        names (Callable): Gives the names of an input's files, or folders.
        legend (str, optional): Name of a file that is written for all inputs.

    Returns:
        dict[str, list[Path]]: Files by input.

    Raises:
        UserError: A file would replace an input, the file of another or the legend,
            or the folder cannot be made.
    """
    taken = {Path(path).resolve(): path for path in inputs}

    def claim(name: str, what: str) -> Path:
        file = Path(out_dir, name)
        if file.resolve() in taken:
            raise UserError(
                f'{what} would be written over {taken[file.resolve()]} ({file}). Give '
                'another --out-dir, or the inputs one by one.'
            )
        taken[file.resolve()] = what
        return file

    if legend:
        claim(legend, 'the legend')
    outputs = {}
    for path in inputs:
        what = f'the result of {path}'
        outputs[path] = [claim(name, what) for name in names(Path(path))]
    make_folder(out_dir)
    return outputs


def _task(cfg: Config) -> str:
    scope = cfg.get('default_scope')
    if not isinstance(scope, str) or scope not in TASKS:
        raise UserError(
            f'{cfg.filename}: default_scope is {scope!r}; the tools run configs of '
            f'{", ".join(TASKS)}'
        )
    return TASKS[scope]


def device_name() -> str:
    """What this process computes on."""
    if torch.cuda.is_available():
        index = int(os.environ['LOCAL_RANK'])
        return f'cuda:{index} ({torch.cuda.get_device_name(index)})'
    return f'cpu ({processor_name()}, {torch.get_num_threads()} threads)'


def _move_data(cfg: Config, root: str) -> None:
    """Give all data sets another root, which must have been one and the same."""
    datasets = _with_key(_loaders(cfg), 'data_root')
    roots = {node['data_root'] for node in datasets}
    if len(roots) != 1:
        raise UserError(
            f'{cfg.filename}: data_root was given, but the data sets of this config '
            f'have {len(roots)} roots: {", ".join(sorted(map(str, roots))) or "none"}. '
            'Give each its own: train_dataloader.dataset.data_root=…'
        )
    for node in datasets:
        node['data_root'] = root


def _loaders(cfg: Config) -> list[dict[str, Any] | None]:
    return [cfg.get(f'{loop}_dataloader') for loop in ('train', 'val', 'test')]


def _with_key(tree: object, key: str) -> list[dict[str, Any]]:
    """The dicts in a tree of dicts and lists that have `key`."""
    return [
        node for _, node in nodes_of(tree) if isinstance(node, dict) and key in node
    ]


def _stem(path: str) -> str:
    return osp.splitext(osp.basename(path))[0]
