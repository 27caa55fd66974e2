"""Train a config with mmengine's Runner."""

import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass

from mmengine.config import Config
from mmengine.dataset import BaseDataset
from mmengine.device import get_device
from mmengine.runner import Runner

from glore_mm.analysis.class_weights import median_frequency_weights
from glore_mm.analysis.data_check import check_data, describe_datasets
from glore_mm.apis.test import add_test_outputs, test
from glore_mm.config.build import config_key_context, get_data_preprocessor
from glore_mm.config.checks import check_datasets, check_train_config
from glore_mm.config.heads import set_class_weights
from glore_mm.engine.resume import ResumeState, check_work_dir, find_resume_state
from glore_mm.engine.runner import (
    ResumableRunner,
    build_runner,
    shutdown_workers,
    work_dir_lock,
)
from glore_mm.engine.weights import check_initial_weights
from glore_mm.utils.distributed import is_main_process
from glore_mm.utils.errors import UserError


def train(
    cfg: Config,
    resume: str | None = None,
    amp: bool = False,
    seed: int | None = None,
    compiled: bool = False,
    auto_scale_lr: bool = False,
) -> Runner:
    """Train a config.

    Args:
        cfg (Config): From `load_config`.
        resume (str, optional): 'latest' resumes from the latest complete checkpoint in
            the work dir. 'auto' does the same, but starts from the beginning if there
            is none. Default: as in the config.
        amp (bool): Train in mixed precision: float16 on a GPU, bfloat16 on a CPU.
        seed (int, optional): Seed of Python, NumPy and torch. Default: the config's.
        compiled (bool): Train with `torch.compile`.
        auto_scale_lr (bool): Multiply the learning rate by the number of samples of an
            update, divided by `auto_scale_lr.base_batch_size` of the config. Default:
            as in the config.

    Returns:
        Runner: The runner after training.

    Raises:
        UserError: The config, a data set or the checkpoint to resume from is wrong.
    """
    state = check(cfg, resume, amp, seed, auto_scale_lr)
    with work_dir_lock(cfg.work_dir):  # building a Runner already writes there
        runner = build_runner(ResumableRunner, cfg, compiled)
        runner.resume_state = state
        try:
            with config_key_context(cfg):
                runner.train()
        finally:
            shutdown_workers(runner)
    return runner


def check(
    cfg: Config,
    resume: str | None = None,
    amp: bool = False,
    seed: int | None = None,
    auto_scale_lr: bool = False,
) -> ResumeState:
    """Check config, data sets and checkpoint of a training; write nothing.

    Prints a warning for each likely mistake in the data. Takes the arguments of `train`
    and applies them to the config.

    Returns:
        ResumeState: The state that training begins from.

    Raises:
        UserError: The config, a data set or the checkpoint to resume from is wrong.
    """
    check_train_config(cfg)
    check_work_dir(cfg)
    state = find_resume_state(cfg, resume)
    _apply_options(cfg, state, amp, seed)
    _check_lr_scaling(cfg, auto_scale_lr)
    trained = {state.checkpoint: state.classes} if state.checkpoint else {}
    datasets = check_datasets(cfg, 'train', 'val', expected=trained)
    if cfg.get('class_weights'):
        _set_class_weights(cfg, datasets['train'])
    if state.checkpoint is None:
        check_initial_weights(cfg)
        if is_main_process():
            print(describe_datasets(datasets), flush=True)
            given = get_data_preprocessor(cfg)
            for line in check_data(datasets, given.get('mean'), given.get('std')):
                print(f'warning: {line}', file=sys.stderr, flush=True)
    return state


def _set_class_weights(cfg: Config, dataset: BaseDataset) -> None:
    """Weight the classes as the config's `class_weights` says."""
    if cfg.class_weights != 'median_frequency':
        raise UserError(
            f'{cfg.filename}: class_weights is {cfg.class_weights!r}; expected '
            "'median_frequency'. For weights of your own set class_weight in the losses"
        )
    classes = dataset.metainfo['classes']
    weights = median_frequency_weights(dataset, len(classes))
    set_class_weights(cfg, weights)
    if is_main_process():
        named = ', '.join(f'{c} {w:g}' for c, w in zip(classes, weights, strict=True))
        print(f'class weights: {named}', flush=True)


def _apply_options(
    cfg: Config, state: ResumeState, amp: bool, seed: int | None
) -> None:
    """Apply the checkpoint to resume from, the seed and AMP to the config."""
    if state.checkpoint is not None:
        cfg.load_from, cfg.resume = state.checkpoint, True
    if None not in (state.seed, seed) and state.seed != seed:
        raise UserError(
            f'--seed {seed}: {state.checkpoint} was trained with seed {state.seed}, '
            'and --resume keeps it. Leave --seed out.'
        )
    configured = cfg.get('randomness', {}).get('seed')
    ignored = seed is None and None not in (state.seed, configured)
    if ignored and configured != state.seed and is_main_process():
        print(
            f'randomness.seed={configured} of the config is not used: '
            f'{state.checkpoint} was trained with seed {state.seed}',
            flush=True,
        )
    seed = state.seed if seed is None else seed
    if seed is not None:
        cfg.randomness = dict(cfg.get('randomness', {}), seed=seed)
    if amp:
        cpu = get_device() == 'cpu'
        cfg.optim_wrapper.type = 'CPUAmpOptimWrapper' if cpu else 'AmpOptimWrapper'


def _check_lr_scaling(cfg: Config, requested: bool) -> None:
    """Enable the scaling of the learning rate on request; check the config for it."""
    scaling = dict(cfg.get('auto_scale_lr') or {})
    if not (requested or scaling.get('enable')):
        return
    base = scaling.get('base_batch_size')
    if type(base) is not int or base < 1:
        raise UserError(
            f'{cfg.filename}: auto_scale_lr.base_batch_size is {base!r}; expected the '
            'batch size, over all processes, that the learning rate of the config is '
            'for. Give it: --cfg-options auto_scale_lr.base_batch_size=16'
        )
    cfg.auto_scale_lr = dict(scaling, enable=True)


@dataclass(frozen=True)
class TrainResult:
    """Result of a training with a test.

    Attributes:
        cfg (Config): Config of the test, with the checkpoint in `load_from`.
        dump (str): Path of the prediction dump, as written by tools/test.py --dump.
        metrics (dict[str, float]): Metrics of the test, by name.
        seconds (float): Duration of the training, in seconds.
    """

    cfg: Config
    dump: str
    metrics: dict[str, float]
    seconds: float


def train_and_test(load: Callable[[], Config], seed: int = 0) -> TrainResult:
    """Train a config, test the trained network and dump its predictions.

    Args:
        load (Callable[[], Config]): Returns a new copy of the config at each call, as
            training and test change it.
        seed (int): Seed of the initial weights and of the order of the samples.
    """
    start = time.perf_counter()
    runner = train(load(), seed=seed)
    seconds = time.perf_counter() - start
    cfg = load()
    dump = os.path.join(cfg.work_dir, 'dump.npz')
    add_test_outputs(cfg, dump=dump)
    metrics = test(cfg, runner.message_hub.get_info('last_ckpt'))
    return TrainResult(cfg, dump, metrics, seconds)
