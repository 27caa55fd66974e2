"""Pictures and pages of the nodes of a network over images and videos."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from mmengine.config import Config
from torch import nn

from glore_mm.apis.infer import load_predictor
from glore_mm.apis.tasks import get_task
from glore_mm.engine.task import Predictor
from glore_mm.insertion import find_units
from glore_mm.utils.atomic_write import make_dir, write_text
from glore_mm.utils.errors import UserError
from glore_mm.utils.paths import expand_inputs, output_files
from glore_mm.utils.videos import is_video, sample_frames
from glore_mm.visualization.capture import CapturedRun, capture
from glore_mm.visualization.drawing import save_image
from glore_mm.visualization.node_page import node_page
from glore_mm.visualization.nodes import NodeView, plot_all_nodes, plot_nodes


def visualize_nodes(
    cfg: Config,
    checkpoint: str,
    inputs: list[str],
    out_dir: str,
    unit: str | None = None,
    top_k: int = 4,
    frames: int = 8,
) -> Iterator[dict[str, Any]]:
    """Write pages and pictures of the nodes of a network over images or videos.

    Each input gets a page, `<name>.html`. Each of its units gets a picture of the
    highest-ranked maps at the size of the input, `<name>_<unit>.png`, and one of all
    maps, `<name>_<unit>_all.png`.

    Args:
        cfg (Config): From `load_config`.
        checkpoint (str): File with the weights.
        inputs (list[str]): Files, folders or glob patterns: images, or videos.
        out_dir (str): Where to write.
        unit (str, optional): The path of one unit, or the end of it. Default: all.
        top_k (int): Maps in the first picture. Default: 4.
        frames (int): For a network for images and an input that is a video: how many
            of its frames to use, evenly chosen. Default: 8.

    Yields:
        dict: `input`, `files` (what was written) and `units`: by path the size of its
        maps, `size`, and `nodes`, the highest-ranked and their scores.

    Raises:
        UserError: An input cannot be used, there is no such unit, or a result would
            replace a file of the inputs or of another result.
    """
    for option, value in (('--top-k', top_k), ('--frames', frames)):
        if value < 1:
            raise UserError(f'{option} must be at least 1, got {value}')
    predict_whole_images(cfg)
    task = get_task(cfg)
    files = expand_inputs(inputs, task.input_suffixes, task.frame_suffixes)
    predictor = load_predictor(cfg, checkpoint)
    places = _chosen(predictor.model, unit)

    def names(path: Path) -> list[str]:
        ends = [f'_{place}{end}.png' for place in places for end in ('', '_all')]
        return [f'{path.stem}{end}' for end in ('.html', *ends)]

    outputs = output_files(files, out_dir, names)
    make_dir(out_dir)
    for path in files:
        parts = [path]
        if not predictor.takes_videos and is_video(path):
            parts = sample_frames(path, frames)
        seen, views = view_nodes(predictor, parts, places)
        about = f'{cfg.filename} | {checkpoint}'
        if len(parts) == 1:
            best = predictor.topk(seen.result[0], 3)
            about += ' | ' + ', '.join(f'{c["label"]} {c["score"]:.0%}' for c in best)
        page, *pictures = outputs[path]
        units = {}
        for place, view in views.items():
            save_image(plot_nodes(seen.frames, view, top_k), pictures.pop(0))
            save_image(plot_all_nodes(seen.frames, view), pictures.pop(0))
            best = zip(*(each.tolist() for each in view.ranking), strict=True)
            units[place] = dict(size=view.maps.shape[1:], nodes=list(best)[:top_k])
        write_text(page, node_page(Path(path).name, about, seen.frames, views))
        yield dict(input=path, files=outputs[path], units=units)


def predict_whole_images(cfg: Config) -> None:
    """Set a segmentor to predict whole images: each crop would have its own maps."""
    mode = (cfg.model.get('test_cfg') or {}).get('mode')
    if mode in ('slide', 'global_slide'):
        cfg.model.test_cfg = dict(mode='whole')


def units_to_view(model: nn.Module) -> list[str]:
    """The paths of the units over two or three dimensions, whose maps are images."""
    return [path for path, unit in find_units(model).items() if unit.dim > 1]


def view_nodes(
    predictor: Predictor, parts: Sequence[Any], units: Sequence[str]
) -> tuple[CapturedRun, dict[str, NodeView]]:
    """Predict an image, a clip or the frames of a video, and record the units' maps.

    Args:
        predictor (Predictor): The network.
        parts (Sequence): Inputs of `predictor.predict`.
        units (Sequence[str]): The paths of the units.

    Returns:
        tuple[CapturedRun, dict[str, NodeView]]: The frames, with the prediction of each
        part as `result`, and the view of each unit by its path.

    Raises:
        UnreadableSampleError: A part cannot be read.
        UserError: The network has no units.
    """
    rgb = getattr(predictor.loader, 'rgb', None)
    seen = capture(predictor.model, lambda: [*map(predictor.predict, parts)], rgb)
    views = {
        unit: NodeView(seen.maps_of(unit), seen.units[unit].graph) for unit in units
    }
    return seen, views


def _chosen(model: nn.Module, unit: str | None) -> list[str]:
    """The paths of the units to show."""
    paths = units_to_view(model)
    if not paths:
        raise UserError(
            f'{type(model).__name__} has no GloRe unit over two or three dimensions: '
            'there is nothing to show. Give the config of a network with units.'
        )
    chosen = [p for p in paths if unit is None or f'.{p}'.endswith(f'.{unit}')]
    if not chosen:
        raise UserError(
            f'--unit {unit}: no unit of that name; there are {", ".join(paths)}'
        )
    return chosen
