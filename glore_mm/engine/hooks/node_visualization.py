"""Visualise the nodes of the units while a network trains."""

from functools import partial
from typing import Any

import numpy as np
from mmengine.dist import master_only
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.registry import HOOKS
from mmengine.runner import Runner

from glore_mm.engine.determinism import preserve_rng_state
from glore_mm.engine.transforms import find_dataset_loader
from glore_mm.unit import GloRe
from glore_mm.utils.errors import UserError
from glore_mm.visualization.capture import CapturedRun, capture
from glore_mm.visualization.projections import node_usage


@HOOKS.register_module()
class NodeVisualizationHook(Hook):
    """Pass pictures and figures of the units to the visualizer during training.

    For every unit, before training and after every `interval` iterations, on a few
    fixed samples:

    - `nodes_<unit>_<sample>`: a picture of the highest-ranked maps and the graph;
    - `nodes/<unit>/added`: ‖Y‖ / ‖X‖, the size of the unit's output relative to its
      input;
    - `nodes/<unit>/closing`: mean absolute value of `GloRe.closing_weight`, the weight
      of the closing norm, or that of conv_extend without a trainable closing norm;
    - `nodes/<unit>/entropy`: normalised entropy of the use of nodes (`node_usage` of
      glore_mm.visualization.projections): 1 if all nodes are used equally, 0 if only
      one is used;
    - `nodes/<unit>/dead`: number of nodes used less than a hundredth of an equal share.

    It can be added to any config:
    `--cfg-options default_hooks.nodes.type=NodeVisualizationHook`.

    Args:
        interval (int): Iterations between two visualizations. Default: 1000.
        samples (int): Number of samples, evenly spaced in the validation set, or in the
            training set without validation. Default: 2.
        top_k (int): Number of maps in a picture. Default: 4.

    Raises:
        UserError: `samples` or `top_k` is less than 1.
    """

    def __init__(self, interval: int = 1000, samples: int = 2, top_k: int = 4) -> None:
        for name, value in (('samples', samples), ('top_k', top_k)):
            if value < 1:
                raise UserError(
                    f'NodeVisualizationHook: {name} must be at least 1, got {value}'
                )
        self.interval = interval
        self.samples = samples
        self.top_k = top_k
        self._batches: list[dict[str, Any]] = []

    @master_only
    def before_train(self, runner: Runner) -> None:
        """Choose the samples; visualise the units before training."""
        validates = runner.val_loop is not None
        loader = runner.val_dataloader if validates else runner.train_dataloader
        dataset = loader.dataset
        chosen = np.linspace(0, len(dataset) - 1, min(self.samples, len(dataset)))
        with preserve_rng_state():
            self._batches = [loader.collate_fn([dataset[int(i)]]) for i in chosen]
        self._rgb = getattr(find_dataset_loader(dataset), 'rgb', None)
        self._show(runner, runner.iter)

    @master_only
    def after_train_iter(self, runner: Runner, **_: Any) -> None:
        """Visualise the units after every `interval` iterations."""
        if self.every_n_train_iters(runner, self.interval):
            self._show(runner, runner.iter + 1)

    def _show(self, runner: Runner, step: int) -> None:
        # imported here, because importing the drawing code takes time
        from glore_mm.visualization.nodes import NodeView, plot_nodes

        model = runner.model
        model = model.module if is_model_wrapper(model) else model
        runs = [
            capture(model, partial(model.test_step, batch), self._rgb)
            for batch in self._batches
        ]
        figures: dict[str, float] = {}
        for path in runs[0].units:
            for i, run in enumerate(runs):
                view = NodeView(run.maps_of(path), run.units[path].graph)
                sheet = plot_nodes(run.frames, view, self.top_k)
                name = f'nodes_{path}_{i}'
                runner.visualizer.add_image(name, np.asarray(sheet), step)
            figures |= _figures(path, model.get_submodule(path), runs)
        runner.visualizer.add_scalars(figures, step)


def _figures(path: str, unit: GloRe, runs: list[CapturedRun]) -> dict[str, float]:
    """Return the scalars of a unit by name."""
    # usage first, then the mean: samples may differ in size
    used = np.mean([node_usage(run.units[path].maps) for run in runs], axis=0)
    share = used[used > 0]
    entropy = -(share * np.log(share)).sum() / np.log(max(len(used), 2))
    added = np.mean([run.units[path].added.mean() for run in runs])
    return {
        f'nodes/{path}/added': float(added),
        f'nodes/{path}/closing': float(unit.closing_weight.detach().abs().mean()),
        f'nodes/{path}/entropy': float(entropy),
        f'nodes/{path}/dead': int((used < 0.01 / len(used)).sum()),
    }
