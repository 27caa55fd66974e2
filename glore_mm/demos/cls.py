"""The demo of classification: two clocks in a picture, and how far one is ahead."""

from functools import partial

from PIL import Image, ImageDraw, ImageFont

from glore_mm.apis.train import TrainResult
from glore_mm.demos.comparison import Demo
from glore_mm.demos.predictions import describe, pick_sample, read_dumps, top1
from glore_mm.synthetic.mini_imagenet import write_mini_imagenet
from glore_mm.utils.images import read_image
from glore_mm.visualization.drawing import hstack, vstack

_SIDE, _LINE, _COLUMNS = 180, 15, 5  # of the picture: pixels, pixels, images


def _draw(results: dict[str, TrainResult]) -> tuple[Image.Image, str]:
    """An image of each class below its truth and the predictions."""
    dumps = read_dumps(results)
    (*_, dump) = dumps.values()
    tiles = []
    for label, truth in enumerate(dump.classes):
        index = pick_sample(dumps, label)
        lines = describe(dumps, index)
        tile = Image.new('RGB', (_SIDE, _SIDE + _LINE * len(lines) + 8), 'white')
        image = read_image(str(dump.names[index]))
        image.thumbnail((_SIDE - 6, _SIDE - 6))
        tile.paste(image, (3, _SIDE - 3 - image.height))
        draw = ImageDraw.Draw(tile)
        for row, line in enumerate(lines):
            font = ImageFont.load_default(_LINE * 0.8)
            colour = 'black' if line.endswith(f': {truth}') else 'red'
            draw.text((4, _SIDE + row * _LINE), line, fill=colour, font=font)
        tiles.append(tile)
    starts = range(0, len(tiles), _COLUMNS)
    picture = vstack([hstack(tiles[first : first + _COLUMNS]) for first in starts])
    return picture, str(dump.names[0])


DEMO = Demo(
    write=partial(write_mini_imagenet, 'data/mini_imagenet', num_train=2000, scale=0.4),
    configs={'ResNet': 'cls/plain_mini.py', 'ResNet + GloRe': 'cls/glore_mini.py'},
    scores=top1,
    draw=_draw,
    conclusion='Both networks learn this task. With one seed and little training, '
    'which one is ahead may be chance.',
)
