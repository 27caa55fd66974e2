"""Seeing nodes form while a network trains."""

from functools import partial
from typing import Any

import numpy as np
from mmengine.dist import master_only
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.registry import HOOKS
from mmengine.runner import Runner

from glore_mm.engine.determinism import preserve_rng_state
from glore_mm.unit import GloRe
from glore_mm.utils.errors import UserError
from glore_mm.visualization.capture import CapturedRun, capture
from glore_mm.visualization.projections import node_usage


@HOOKS.register_module()
class NodeVisualizationHook(Hook):
    """Give the visualizer pictures and figures of the units, while they train.

    Of every unit, before training and after every few iterations, on a few samples that
    stay the same:

    - `nodes_<unit>_<sample>`, a picture: the highest-ranked maps and the graph;
    - `nodes/<unit>/added`: ‖Y‖ / ‖X‖, what the unit adds to its input;
    - `nodes/<unit>/closing`: mean size of `GloRe.closing_weight`, that of the closing
      norm or, without one that trains, of conv_extend;
    - `nodes/<unit>/entropy`: of the use of nodes (`node_usage` of
      glore_mm.visualization.projections), 1 where
      all are used alike, 0 where one is;
    - `nodes/<unit>/dead`: nodes used less than a hundredth of their equal share.

    Any config takes it: `--cfg-options default_hooks.nodes.type=NodeVisualizationHook`.

    Args:
        interval (int): In iterations. Default: 1000.
        samples (int): How many, evenly chosen from the data of validation, or of
            training where there is no validation. Default: 2.
        top_k (int): Maps in a picture. Default: 4.

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
        """Choose the samples; draw what the units are before training."""
        validates = runner.val_loop is not None
        loader = runner.val_dataloader if validates else runner.train_dataloader
        dataset = loader.dataset
        chosen = np.linspace(0, len(dataset) - 1, min(self.samples, len(dataset)))
        with preserve_rng_state():
            self._batches = [loader.collate_fn([dataset[int(i)]]) for i in chosen]
        self._show(runner, runner.iter)

    @master_only
    def after_train_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: dict[str, Any] | None = None,
        outputs: dict[str, Any] | None = None,
    ) -> None:
        """Draw what has become of them."""
        if self.every_n_train_iters(runner, self.interval):
            self._show(runner, runner.iter + 1)

    def _show(self, runner: Runner, step: int) -> None:
        # only training that is watched waits for what draws to be imported
        from glore_mm.visualization.nodes import NodeView, plot_nodes

        model = runner.model
        model = model.module if is_model_wrapper(model) else model
        seen = [
            capture(model, partial(model.test_step, batch)) for batch in self._batches
        ]
        figures: dict[str, float] = {}
        for path in seen[0].units:
            for i, sample in enumerate(seen):
                view = NodeView(sample.maps_of(path), sample.units[path].graph)
                sheet = plot_nodes(sample.frames, view, self.top_k)
                name = f'nodes_{path}_{i}'
                runner.visualizer.add_image(name, np.asarray(sheet), step)
            figures |= _figures(path, model.get_submodule(path), seen)
        runner.visualizer.add_scalars(figures, step)


def _figures(path: str, unit: GloRe, seen: list[CapturedRun]) -> dict[str, float]:
    """The scalars of a unit, by name."""
    # samples may differ in size
    used = np.mean([node_usage(sample.units[path].maps) for sample in seen], axis=0)
    share = used[used > 0]
    entropy = -(share * np.log(share)).sum() / np.log(max(len(used), 2))
    added = np.mean([sample.units[path].added.mean() for sample in seen])
    return {
        f'nodes/{path}/added': float(added),
        f'nodes/{path}/closing': float(unit.closing_weight.detach().abs().mean()),
        f'nodes/{path}/entropy': float(entropy),
        f'nodes/{path}/dead': int((used < 0.01 / len(used)).sum()),
    }
