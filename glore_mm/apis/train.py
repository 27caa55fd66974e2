"""Train a config with mmengine's Runner."""

import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass

from mmengine.config import Config
from mmengine.device import get_device
from mmengine.runner import Runner

from glore_mm.analysis.data_check import check_data
from glore_mm.apis.test import add_test_outputs, test
from glore_mm.config.build import config_key_context, get_data_preprocessor
from glore_mm.config.checks import check_datasets, check_train_config
from glore_mm.engine.resume import ResumeState, find_resume_state
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
) -> Runner:
    """Train a config.

    Args:
        cfg (Config): From `load_config`.
        resume (str, optional): 'latest' resumes from the latest complete checkpoint in
            the work dir; 'auto' does too, and starts anew where there is none.
            Default: what the config says.
        amp (bool): Train in mixed precision: float16 on a GPU, bfloat16 on a CPU.
        seed (int, optional): Seed of Python, NumPy and torch. Default: the config's.
        compiled (bool): Train with `torch.compile`.

    Returns:
        Runner: After training.

    Raises:
        UserError: The config, a data set or the checkpoint to resume from is wrong.
    """
    state = check(cfg, resume, amp, seed)
    with work_dir_lock(cfg.work_dir):  # a Runner writes there from its beginning on
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
) -> ResumeState:
    """Check all that a training needs, and look at its data; nothing is written.

    What may be wrong with the data is printed, a line each. The arguments are those of
    `train`; the config is changed as they say.

    Returns:
        ResumeState: Where training begins.

    Raises:
        UserError: The config, a data set or the checkpoint to resume from is wrong.
    """
    check_train_config(cfg)
    state = find_resume_state(cfg, resume)
    _apply_options(cfg, state, amp, seed)
    datasets = check_datasets(cfg, 'train', 'val')
    if state.checkpoint is None:
        check_initial_weights(cfg)
        if is_main_process():
            given = get_data_preprocessor(cfg)
            for line in check_data(datasets, given.get('mean'), given.get('std')):
                print(f'warning: {line}', file=sys.stderr, flush=True)
    return state


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
    seed = state.seed if seed is None else seed
    if seed is not None:
        cfg.randomness = dict(cfg.get('randomness', {}), seed=seed)
    if amp:
        cpu = get_device() == 'cpu'
        cfg.optim_wrapper.type = 'CPUAmpOptimWrapper' if cpu else 'AmpOptimWrapper'


@dataclass(frozen=True)
class TrainResult:
    """A network that was trained and tested.

    Attributes:
        cfg (Config): As it was tested, its checkpoint in `load_from`.
        dump (str): The file that tools/test.py --dump writes.
        metrics (dict[str, float]): Of the test, by name.
        seconds (float): Duration of the training.
    """

    cfg: Config
    dump: str
    metrics: dict[str, float]
    seconds: float


def train_and_test(load: Callable[[], Config], seed: int = 0) -> TrainResult:
    """Train a config, test the result and dump it.

    Args:
        load (Callable[[], Config]): Returns the config, a new copy at each call: a run
            changes its own.
        seed (int): Of the weights and of the order of the samples.
    """
    start = time.perf_counter()
    runner = train(load(), seed=seed)
    seconds = time.perf_counter() - start
    cfg = load()
    dump = os.path.join(cfg.work_dir, 'dump.npz')
    add_test_outputs(cfg, dump=dump)
    metrics = test(cfg, runner.message_hub.get_info('last_ckpt'))
    return TrainResult(cfg, dump, metrics, seconds)
