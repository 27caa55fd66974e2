"""Test a checkpoint with mmengine's Runner."""

from typing import Any

from mmengine.config import Config

from glore_mm.apis.tasks import get_task
from glore_mm.config.build import build_model, config_key_context
from glore_mm.config.checks import check_datasets, check_test_config, has_labels
from glore_mm.config.datasets import first_dataset, leaf_datasets, type_name
from glore_mm.config.load import TASK_TITLES, find_task_name
from glore_mm.engine.explain_errors import explain_errors
from glore_mm.engine.runner import QuietRunner, build_runner, shutdown_workers
from glore_mm.engine.weights import (
    check_state_dict,
    checkpoint_classes,
    read_any_checkpoint,
)
from glore_mm.utils.errors import UserError


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
    check_test_config(cfg)
    content = read_any_checkpoint(checkpoint)
    check_state_dict(cfg, build_model(cfg), content, checkpoint)
    expected = {checkpoint: checkpoint_classes(content)}
    datasets = check_datasets(cfg, 'test', expected=expected)
    if not has_labels(cfg, datasets['test']):
        _leave_out_scores(cfg)
    cfg.load_from = checkpoint
    if tta:
        _enable_tta(cfg)
    runner = build_runner(QuietRunner, cfg, compiled)
    try:
        with config_key_context(cfg), explain_errors(runner.model):
            return runner.test()
    finally:
        shutdown_workers(runner)


def add_test_outputs(
    cfg: Config,
    submission_dir: str | None = None,
    show_dir: str | None = None,
    dump: str | None = None,
) -> None:
    """Configure a test to write further outputs.

    Args:
        cfg (Config): From `load_config`; its evaluators and hooks are changed.
        submission_dir (str, optional): Folder for files in the format of the
            benchmark's server.
        show_dir (str, optional): Folder for images of the predictions.
        dump (str, optional): `.npz` file for tools/compare.py.

    Raises:
        UserError: There is no submission format for the task.
    """
    task = get_task(cfg)
    if submission_dir and task.submission_hook is None:
        title = TASK_TITLES[find_task_name(cfg)]
        raise UserError(f'--submission-dir: there is no submission format for {title}')
    # the outputs leave out the pixels that the metrics leave out
    ignored = {
        key: value
        for metric in _evaluators(cfg)
        for key, value in metric.items()
        if key == 'ignore_index'
    }
    outputs = [
        dict(type=task.submission_hook, folder=submission_dir),
        dict(type=task.visualization_hook, folder=show_dir, **ignored),
    ]
    added = [output for output in outputs if output['folder']]
    cfg.custom_hooks = [*cfg.get('custom_hooks', []), *added]
    added = [dict(type=task.dump_metric, path=dump, **ignored)] if dump else []
    cfg.test_evaluator = [*_evaluators(cfg), *added]


def _evaluators(cfg: Config) -> list[dict[str, Any]]:
    """Return the config's test metrics as a list."""
    found = cfg.test_evaluator
    return list(found) if isinstance(found, list) else [found]


def _leave_out_scores(cfg: Config) -> None:
    """Configure a test without labels: it writes predictions and no metrics.

    Raises:
        UserError: No outputs are configured, or an output needs labels.
    """
    task, (key, _) = get_task(cfg), first_dataset(cfg)
    hooks = {hook.get('type') for hook in cfg.get('custom_hooks', [])}
    if not hooks & {task.submission_hook, task.visualization_hook}:
        raise UserError(
            f'{cfg.filename}: {key} has no labels, so there is nothing to score. Give '
            '--show-dir or --submission-dir, or the labels.'
        )
    if any(metric.get('type') == task.dump_metric for metric in _evaluators(cfg)):
        raise UserError(f'--dump: {key} of {cfg.filename} has no labels to compare')
    print(f'{key} has no labels: predictions are written, but not scored')
    cfg.test_evaluator = []


def _enable_tta(cfg: Config) -> None:
    if 'tta_model' not in cfg or 'tta_pipeline' not in cfg:
        raise UserError(
            f'{cfg.filename}: --tta needs tta_model and tta_pipeline in the config, as '
            'in those of segmentation and classification; for videos use --views'
        )
    for _, dataset in leaf_datasets(cfg, 'test'):
        first, *others = cfg.tta_pipeline
        if 'Load' in type_name(first):  # TTA changes how images vary, not how they load
            first = dataset['pipeline'][0]
        dataset['pipeline'] = [first, *others]
    cfg.model = dict(cfg.tta_model, module=cfg.model)
    # the checkpoint has the averaged weights as its weights; mmpretrain's hook would
    # replace them by those of its own copy, which it cannot load into a TTA model
    cfg.custom_hooks = [
        hook
        for hook in cfg.get('custom_hooks') or []
        if type_name(hook) != 'EMAHook' or not hook.get('evaluate_on_ema', True)
    ]
