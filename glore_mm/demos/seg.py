"""The demo of segmentation: street scenes in the layout of Cityscapes."""

from functools import partial

import numpy as np
from PIL import Image

from glore_mm.analysis.dumps import read_dump
from glore_mm.apis.infer import load_predictor
from glore_mm.apis.train import TrainResult
from glore_mm.demos.comparison import Demo
from glore_mm.seg.visualization import colorize, panels
from glore_mm.synthetic.mini_cityscapes import write_mini_cityscapes
from glore_mm.utils.images import read_image
from glore_mm.visualization.drawing import vstack

_SHOWN = 3  # images


def _draw(results: dict[str, TrainResult]) -> tuple[Image.Image, str]:
    """Image, truth and the labels of each network, a row for each image."""
    predictors = {
        name: load_predictor(result.cfg, result.cfg.load_from)
        for name, result in results.items()
    }
    (*_, result) = results.values()
    images = read_dump(result.dump).names[:_SHOWN].tolist()
    rows = []
    for path in images:
        truth = path.replace('leftImg8bit', 'gtFine', 1).replace(
            '_leftImg8bit.png', '_gtFine_labelTrainIds.png'
        )
        labels = {'truth': np.asarray(Image.open(truth))}
        labels |= {name: each.predict(path) for name, each in predictors.items()}
        palette = next(iter(predictors.values())).palette
        drawn = {name: colorize(each, palette) for name, each in labels.items()}
        rows.append(panels(dict(image=np.asarray(read_image(path)), **drawn)))
    return vstack(rows), images[0]


DEMO = Demo(
    write=partial(write_mini_cityscapes, 'data/mini_cityscapes'),
    configs={'FCN': 'seg/fcn_mini.py', 'FCN + GloRe': 'seg/glore_mini.py'},
    scores=lambda result: dict(mIoU=result.metrics['mIoU']),
    draw=_draw,
    conclusion='200 iterations are too few for most classes, and one seed does not '
    'show which network is better. This demo runs the pipeline of Cityscapes.',
)
