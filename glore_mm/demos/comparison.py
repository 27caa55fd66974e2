"""Train and test networks on the same data, and show what each of them reaches."""

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from mmengine.config import Config
from PIL import Image
from prettytable import PrettyTable

from glore_mm.apis.cost import network_cost
from glore_mm.apis.train import TrainResult, train_and_test
from glore_mm.apis.visualize import visualize_nodes
from glore_mm.config.build import build_model
from glore_mm.config.load import load_config
from glore_mm.demos import progress  # noqa: F401, registers the hook
from glore_mm.utils.errors import UserError
from glore_mm.visualization.drawing import save_image


@dataclass(frozen=True)
class Demo:
    """Two networks that differ in a unit, and the data that they are trained on.

    Attributes:
        write (Callable): Generates the data set unless it exists; returns its folder.
        configs (dict[str, str]): Configs by the names of the networks, relative to the
            folder of this project's configs; the last one has units.
        scores (Callable): Returns the columns of the table, scores in % by name, for
            the result of a network.
        draw (Callable): Returns a picture, and the test file whose nodes are shown, for
            the results by network name.
        conclusion (str): What the result shows.
    """

    write: Callable[[], Path]
    configs: dict[str, str]
    scores: Callable[[TrainResult], dict[str, float]]
    draw: Callable[[dict[str, TrainResult]], tuple[Image.Image, str]]
    conclusion: str


def run_demo(
    demo: Demo,
    name: str,
    configs: Path,
    options: Sequence[str] | None = None,
    seed: int = 0,
) -> None:
    """Train and test the networks, print a table, draw a picture.

    Writes data/ and work_dirs/ in the current folder.

    Args:
        demo (Demo): What to run.
        name (str): Name for the files: work_dirs/demo_<name>.png and so on.
        configs (Path): The folder of this project's configs.
        options (Sequence[str], optional): Keys of all configs to override, KEY=VALUE.
        seed (int): Seed of the trainings. Default: 0.

    Raises:
        UserError: The folder of the data set exists and has other contents.
    """
    try:
        print(f'data: {demo.write()}', flush=True)
    except FileExistsError as error:
        raise UserError(str(error)) from error
    results = {}
    for index, (network, path) in enumerate(demo.configs.items()):
        hook = dict(
            type='DemoProgressHook',
            name=network,
            networks_left=len(demo.configs) - 1 - index,
        )
        cfg = _load(str(configs / path), options, hook)
        results[network] = train_and_test(partial(copy.deepcopy, cfg), seed)

    print(_table(results, demo.scores))
    print(demo.conclusion)
    picture, example = demo.draw(results)
    save_image(picture, f'work_dirs/demo_{name}.png')
    print(f'picture: work_dirs/demo_{name}.png')
    trained = results[network]
    shown = visualize_nodes(
        trained.cfg, trained.cfg.load_from, [example], f'work_dirs/demo_{name}_nodes'
    )
    for found in shown:
        print(f'nodes, to explore in a browser: {found["files"][0]}')


def _load(path: str, options: Sequence[str] | None, hook: dict[str, Any]) -> Config:
    cfg = load_config(path, options)
    cfg.log_level = 'ERROR'  # the hook prints what matters here
    cfg.custom_hooks = [*cfg.get('custom_hooks', ()), hook]
    return cfg


def _table(
    results: dict[str, TrainResult],
    scores_of: Callable[[TrainResult], dict[str, float]],
) -> PrettyTable:
    """Scores, parameters and operations, a row for each network."""
    table = PrettyTable()
    for name, result in results.items():
        scores = scores_of(result)
        cost = network_cost(result.cfg, build_model(result.cfg))
        table.field_names = [
            'network',
            *(f'{score}, %' for score in scores),
            'parameters',
            'GMACs',
            'training, s',
        ]
        table.add_row(
            [
                name,
                *(f'{value:.2f}' for value in scores.values()),
                f'{cost.parameters:,}',
                f'{cost.macs / 1e9:.3f}',
                f'{result.seconds:.0f}',
            ]
        )
    table.align = 'r'
    table.align['network'] = 'l'
    return table
