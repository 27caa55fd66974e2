"""The demo: a region whose class only a distant cue shows."""

from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image

from glore_mm.apis.infer import load_predictor
from glore_mm.apis.train import TrainResult
from glore_mm.apis.visualize import units_to_view, view_nodes
from glore_mm.demos.comparison import Demo
from glore_mm.engine.task import Predictor
from glore_mm.seg.visualization import colorize
from glore_mm.synthetic.long_range_strips import ERASED, write_long_range_strips
from glore_mm.utils.images import read_image
from glore_mm.visualization.drawing import add_title, hstack, vstack
from glore_mm.visualization.nodes import NodeView

_SHOWN = ('000002', '000029')  # strips: the cue is on the left, on the right


def _scores(result: TrainResult) -> dict[str, float]:
    return {
        'accuracy': result.metrics['acc'],
        'without the cue': result.metrics['acc_erased'],
    }


def _draw(results: dict[str, TrainResult]) -> tuple[Image.Image, str]:
    """Strip, truth, predictions, and the node that reads the cue, for two strips."""
    predictors = {
        name: load_predictor(result.cfg, result.cfg.load_from)
        for name, result in results.items()
    }
    (*_, result) = results.values()
    data = Path(result.cfg.data_root)
    strips = [data / f'images/val/{name}.png' for name in _SHOWN]
    columns = [_column(predictors, data, strip) for strip in strips]
    return hstack(columns, gap=16), str(strips[0])


def _column(predictors: dict[str, Predictor], data: Path, path: Path) -> Image.Image:
    strip = np.asarray(read_image(str(path)))
    truth = np.asarray(Image.open(data / 'labels/val' / path.name))
    rows = [('strip: the class of the grey shape is the colour of the cue', strip)]
    labels: dict[str, np.ndarray] = {'truth': truth}
    for name, predictor in predictors.items():
        labels[name] = predictor.predict(str(path))
    region, pale = truth != 255, 192 + strip // 4
    for name, found in labels.items():
        label = int(np.bincount(found[region]).argmax())  # of most of its pixels
        title = f'{name}: {predictor.classes[label]}'
        if name != 'truth':
            title += ', right' if label == truth[region][0] else ', wrong'
        colours = colorize(found, predictor.palette)
        rows.append((title, np.where(region[..., None], colours, pale)))

    erased = np.asarray(read_image(str(path.with_stem(path.stem + ERASED))))
    cue = (strip != erased).any(axis=2)
    _, views = view_nodes(predictor, [str(path)], units_to_view(predictor.model))
    (view,) = views.values()
    node = _node_of(view, cue)
    heat = view.overlay_heatmap(pale, node, 0)
    title = f'node {node} of {len(view.maps)}: its map, red positive, blue negative'
    rows.append((title, np.asarray(heat)))
    return vstack([add_title(Image.fromarray(i), t) for t, i in rows], gap=6)


def _node_of(view: NodeView, cue: np.ndarray) -> int:
    """The node whose map differs most at the cue, relative to its spread."""
    height, width = view.maps.shape[2:]
    cells = np.asarray(Image.fromarray(cue).resize((width, height)))
    maps = view.differences[:, 0]
    at_cue = np.abs(maps[:, cells].mean(axis=1))
    return int(np.argmax(at_cue / (maps.std(axis=(1, 2)) + 1e-12)))


DEMO = Demo(
    write=partial(write_long_range_strips, 'data/long_range_strips'),
    configs={
        'FCN': 'seg/fcn_long_range.py',
        'FCN + GloRe': 'seg/glore_long_range.py',
    },
    scores=_scores,
    draw=_draw,
    conclusion='Guessing is right in 25 %. The cue is 400 pixels or more away from the '
    'region: no convolution\nof the FCN reaches so far. The unit carries the colour of '
    'the cue across; without the cue it guesses, too.',
)
