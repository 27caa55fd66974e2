"""Training and testing a config with mmengine's Runner."""

import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from mmengine.config import Config
from mmengine.device import get_device
from mmengine.registry import DATASETS
from mmengine.runner import CheckpointLoader, Runner

from glore_mm.checkpoints import (
    Conversion,
    convert,
    is_released,
    read_checkpoint,
    weights_of,
    write_checkpoint,
    write_digest,
)
from glore_mm.engine.building import build_model, build_part, part_of, telling_keys
from glore_mm.engine.compiling import compile_parts
from glore_mm.engine.loops import Start
from glore_mm.engine.processes import is_first_process
from glore_mm.engine.reporting import message_of
from glore_mm.engine.runners import ExactRunner, QuietRunner, alone_in, end_workers
from glore_mm.engine.saving import (
    check_resumable,
    has_checkpoints,
    newest_checkpoint,
)
from glore_mm.engine.setup import add_outputs, metainfo_of
from glore_mm.errors import UserError, listed

_PARTS = ('dataloader', 'cfg', 'evaluator')  # of a loop: val_dataloader, val_cfg, …


def train(
    cfg: Config,
    resume: str | None = None,
    amp: bool = False,
    seed: int | None = None,
    compiled: bool = False,
) -> Runner:
    """Train a config.

    Args:
        cfg (Config): From `load_config`.
        resume (str, optional): 'newest' goes on from the newest whole checkpoint in the
            work dir, 'if-any' also begins where there is none. Default: the config's.
        amp (bool): Train in mixed precision: float16 on a GPU, bfloat16 on a CPU.
        seed (int, optional): Seed of Python, NumPy and torch. Default: the config's.
        compiled (bool): Train with `torch.compile`.

    Returns:
        Runner: After training.

    Raises:
        UserError: The config, a data set or the checkpoint to resume from is wrong.
    """
    _check_parts(cfg, 'train', 'optim_wrapper')
    if any(cfg.get(f'val_{part}') is not None for part in _PARTS):
        _check_parts(cfg, 'val')
    start, content = Start(), None
    if resume is None and cfg.get('resume') and not cfg.get('load_from'):
        resume = 'newest'
    if resume == 'newest' or (resume and has_checkpoints(cfg.work_dir)):
        cfg.load_from, content, passed_over = newest_checkpoint(cfg.work_dir)
        cfg.resume = True
        for reason in passed_over if is_first_process() else ():
            print(f'passed over: {reason}', flush=True)
    elif cfg.get('resume'):
        content = _read(cfg.load_from)
    if content is not None:
        check_resumable(content, cfg.load_from)
        seed = _seed_of(content, cfg.load_from, seed)
        start = Start.of(content)
    if amp:
        cpu = get_device() == 'cpu'
        cfg.optim_wrapper.type = 'CPUAmpOptimWrapper' if cpu else 'AmpOptimWrapper'
    if seed is not None:
        cfg.randomness = dict(cfg.get('randomness', {}), seed=seed)
    _check_data(cfg, 'train', 'val')
    if content is not None:
        check_fit(cfg, content, cfg.load_from)
    else:
        network = build_model(cfg).state_dict()
        if cfg.get('load_from'):  # to fine-tune from; its network may differ in part
            state = weights_of(_read(cfg.load_from), cfg.load_from)
            if not any(name in network for name in state):
                raise UserError(
                    f'{cfg.load_from} has no weights for the network that '
                    f'{cfg.filename} builds, such as {next(iter(network))}; it has '
                    f'{next(iter(state))}.{_advice(state)}'
                )
    with telling_keys(cfg, ''):
        runner = ExactRunner.from_cfg(cfg)
    if compiled:
        compile_parts(runner.model)
    runner.start = start
    runner.resumed_from = cfg.load_from if content is not None else None
    del content
    try:
        with alone_in(cfg.work_dir), telling_keys(cfg):
            runner.train()
    finally:
        end_workers(runner)
    return runner


def test(
    cfg: Config, checkpoint: str, tta: bool = False, compiled: bool = False
) -> dict[str, float]:
    """Test a checkpoint.

    Args:
        cfg (Config): From `load_config`.
        checkpoint (str): File with the weights.
        tta (bool): Average over the scales and flips of the config's `tta_pipeline`.
        compiled (bool): Test with `torch.compile`.

    Returns:
        dict[str, float]: The metrics, by name.

    Raises:
        UserError: The config, the data set or the checkpoint is wrong.
    """
    _check_parts(cfg, 'test')
    classes = _check_data(cfg, 'test')
    content = check_checkpoint(cfg, checkpoint)
    _check_same({checkpoint: _trained_on(content), **classes})
    cfg.load_from = checkpoint
    if tta:
        if 'tta_model' not in cfg or 'tta_pipeline' not in cfg:
            raise UserError(
                f'{cfg.filename}: --tta needs tta_model and tta_pipeline in the '
                'config, as those of segmentation and classification have them; for '
                'videos there is --views'
            )
        cfg.test_dataloader.dataset.pipeline = cfg.tta_pipeline
        cfg.model = dict(cfg.tta_model, module=cfg.model)
    with telling_keys(cfg, ''):
        runner = QuietRunner.from_cfg(cfg)
    if compiled:
        compile_parts(runner.model.module if tta else runner.model)
    try:
        with telling_keys(cfg):
            return runner.test()
    finally:
        end_workers(runner)


@dataclass(frozen=True)
class Trained:
    """A network that was trained and tested.

    Attributes:
        cfg (Config): As it was tested, its checkpoint in `load_from`.
        dump (str): The file of what it made of each sample, that of tools/test.py.
        metrics (dict[str, float]): What the test measured.
        seconds (float): What the training took.
    """

    cfg: Config
    dump: str
    metrics: dict[str, float]
    seconds: float


def train_and_dump(load: Callable[[], Config], seed: int = 0) -> Trained:
    """Train a config, test what came out, keep what two models are compared by.

    Args:
        load (Callable[[], Config]): Gives the config, as `load_config` does, each time
            anew, as a run changes its own.
        seed (int): Of the weights and of the order of the samples.
    """
    start = time.perf_counter()
    runner = train(load(), seed=seed)
    seconds = time.perf_counter() - start
    cfg = load()
    dump = os.path.join(cfg.work_dir, 'dump.npz')
    add_outputs(cfg, dump=dump)
    metrics = test(cfg, runner.message_hub.get_info('last_ckpt'))
    return Trained(cfg, dump, metrics, seconds)


def check_checkpoint(cfg: Config, path: str) -> dict[str, Any]:
    """Make sure that a checkpoint is of the network that a config builds.

    Returns:
        dict: The checkpoint's content.

    Raises:
        UserError: The file is missing, cannot be read, or holds other weights.
    """
    content = _read(path)
    check_fit(cfg, content, path)
    return content


def check_fit(cfg: Config, content: dict[str, Any], path: str) -> None:
    """Make sure that a checkpoint's content is of the network that a config builds.

    Raises:
        UserError: It holds other weights.
    """
    state = {key: value.shape for key, value in weights_of(content, path).items()}
    own = {key: value.shape for key, value in build_model(cfg).state_dict().items()}

    differences = {
        'missing': [k for k in own if k not in state and 'num_batches' not in k],
        'not of this network': [k for k in state if k not in own],
        'of another shape': [k for k in own if state.get(k, own[k]) != own[k]],
    }
    found = [
        f'{len(keys)} {what} (such as {keys[0]})'
        for what, keys in differences.items()
        if keys
    ]
    if found:
        raise UserError(
            f'{path} is the checkpoint of another network than {cfg.filename} builds: '
            f'{"; ".join(found)}. Give the config that it was trained with.'
            + _advice(state)
        )


def load_weights(model: torch.nn.Module, path: str) -> dict[str, Any]:
    """Load a checkpoint that `check_checkpoint` has found to be of this network.

    Returns:
        dict: The checkpoint's content.

    Raises:
        UserError: The file is missing or cannot be read.
    """
    content = _read(path)
    # not strict: some are older than the counters of batch norms
    model.load_state_dict(weights_of(content, path), strict=False)
    return content


def load_classifier(cfg: Config, model: torch.nn.Module, path: str) -> Sequence[str]:
    """Load a checkpoint as `load_weights` does.

    Args:
        cfg (Config): From `load_config`; its test set names the classes if the file
            does not.
        model (nn.Module): The network.
        path (str): The checkpoint.

    Returns:
        Sequence[str]: The names of the classes that it tells apart.

    Raises:
        UserError: Neither names them, or the file cannot be read.
    """
    classes = _trained_on(load_weights(model, path)) or metainfo_of(cfg).get('classes')
    if not classes:
        raise UserError(
            f'neither {path} nor the test set of {cfg.filename} names the classes. '
            'Give test_dataloader.dataset.classes.'
        )
    return classes


def convert_checkpoint(
    cfg: Config, source: str, output: str, keep_names: bool = False
) -> Conversion:
    """Convert a released checkpoint for the network of a config, or back.

    The SHA-256 of what is written goes into `<output>.sha256`.

    Args:
        cfg (Config): From `load_config`.
        source (str): File to convert.
        output (str): File to write; in safetensors' format where it ends so.
        keep_names (bool): Change the format alone: the weights keep their names, which
            are those of the network. Default: False.

    Returns:
        Conversion: What became of the file's content.

    Raises:
        UserError: The file cannot be read, or is of another network.
    """
    if os.path.realpath(source) == os.path.realpath(output):
        raise UserError(f'{output} would be written over its own source')
    content = _read(source)
    if keep_names:
        check_fit(cfg, content, source)
        dropped = sorted({*content} - {'state_dict', 'meta'})
        if 'state_dict' not in content:
            dropped = []
        done = Conversion('ours', weights_of(content, source), dropped)
    else:
        done = convert(content, build_model(cfg).state_dict(), source)
    about = (content.get('meta') or {}).get('dataset_meta') or {}
    written = dict(state_dict=done.state_dict, meta=dict(dataset_meta=about))
    write_checkpoint(written, output)
    write_digest(output)
    return done


def _seed_of(content: dict[str, Any], path: str, asked: int | None) -> int | None:
    """The seed that a run goes on with.

    Raises:
        UserError: Another one was asked for.
    """
    seed = content['meta'].get('seed')
    if None not in (seed, asked) and seed != asked:
        raise UserError(
            f'--seed {asked}: {path} was trained with seed {seed}, with which --resume '
            'goes on. Leave --seed out.'
        )
    return seed if asked is None else asked


def _advice(state: Mapping[str, object]) -> str:
    """What else to try with the weights of another network."""
    if is_released(state):
        return (
            ' Its names are those of the GloRe release: convert it first, with '
            'tools/convert_checkpoint.py.'
        )
    if not any(name.startswith('backbone.') for name in state):
        return (
            " If it is a backbone alone, such as torchvision's, give it to that: "
            "init_cfg=dict(type='Pretrained', checkpoint=…) in the backbone's config."
        )
    return ''


def _trained_on(content: dict[str, Any]) -> Sequence[str] | None:
    """The classes of the data set that a checkpoint says it was trained on."""
    meta = content.get('meta') or {}
    return (meta.get('dataset_meta') or {}).get('classes')


def _read(path: str) -> dict[str, Any]:
    if not isinstance(path, str):
        raise UserError(f'load_from must be a path or an address, found {path!r}')
    if '://' not in path:
        return read_checkpoint(path)
    try:
        return CheckpointLoader.load_checkpoint(path, map_location='cpu')
    except UserError:
        raise
    except Exception as error:  # a name that torchvision:// or the like does not know
        raise UserError(f'{path} cannot be loaded: {message_of(error)}') from error


def _check_parts(cfg: Config, loop: str, *others: str) -> None:
    """Make sure that a config has what a loop and its network are built from."""
    parts = [
        f'{loop}_{part}' for part in _PARTS if (loop, part) != ('train', 'evaluator')
    ]
    for key in ('model', f'{loop}_dataloader.dataset', *parts, *others):
        found = part_of(cfg, key)
        kinds = Mapping | list if key.endswith('evaluator') else Mapping
        if not isinstance(found, kinds):
            what = 'nothing' if found is None else repr(found)
            raise UserError(f'{cfg.filename}: {key} must be a dict, found {what}')


def _check_data(cfg: Config, *loops: str) -> dict[str, Sequence[str] | None]:
    """Read the lists of all files first, so that a run fails before it writes.

    Returns:
        dict[str, Sequence[str] | None]: The classes of each data set.
    """
    classes = {}
    for loop in loops:
        if cfg.get(f'{loop}_dataloader') is not None:
            key = f'{loop}_dataloader.dataset'
            dataset = build_part(cfg, key, DATASETS)
            classes[key] = getattr(dataset, 'metainfo', {}).get('classes')
            _check_dataset(cfg, key, len(dataset), classes[key])
    _check_same(classes)
    return classes


def _check_same(classes: Mapping[str, Sequence[str] | None]) -> None:
    """Make sure that all who name the classes, by who they are, name the same."""
    known = [(who, tuple(names)) for who, names in classes.items() if names]
    for who, names in known[1:]:
        if names != known[0][1]:
            raise UserError(
                f'the classes of {who} ({listed(names)}) are not those of '
                f'{known[0][0]} ({listed(known[0][1])}). Labels would be mistaken for '
                'others: give all the same classes, in the same order.'
            )


def _check_dataset(
    cfg: Config, key: str, samples: int, classes: Sequence[str] | None
) -> None:
    """Make sure that a data set fills a batch and fits the head."""
    name = key.partition('.')[0]
    loader = cfg[name]
    batch = loader.get('batch_size', 1)
    if not isinstance(batch, int) or batch < 1:
        raise UserError(
            f'{cfg.filename}: {name}.batch_size must be a positive int, found {batch!r}'
        )
    batch *= int(os.environ.get('WORLD_SIZE', 1))
    if loader.get('drop_last') and samples < batch:
        raise UserError(
            f'{cfg.filename}: {key} has {samples} samples, but a batch takes {batch} '
            'and what does not fill one is dropped. Lower batch_size.'
        )
    for name in ('cls_head', 'head'):  # mmaction2's, mmpretrain's
        head = cfg.model.get(name)
        if not isinstance(head, Mapping):
            continue
        if classes and head.get('num_classes', len(classes)) != len(classes):
            raise UserError(
                f'{cfg.filename}: {key} has {len(classes)} classes, but model.{name}.'
                f'num_classes is {head["num_classes"]}. They must be the same.'
            )
