"""The demo: a small ResNet with and without GloRe on generated photographs."""

from functools import partial

from PIL import Image, ImageDraw, ImageFont

from glore_mm.demos.comparison import Comparison, demo
from glore_mm.synthetic.mini_imagenet import write_mini_imagenet
from glore_mm.utils.images import read_image
from glore_mm.visualization.drawing import hstack, vstack

_SIDE, _LINE, _COLUMNS = 180, 15, 5  # of the picture: pixels, pixels, photographs


def _picture(found: Comparison) -> Image.Image:
    """A photograph of each class above its truth and the predictions."""
    tiles = []
    for label in range(len(found.classes)):
        index = found.pick_sample(label)
        lines = found.about(index).split(' | ')
        truth = found.classes[label]
        tile = Image.new('RGB', (_SIDE, _SIDE + _LINE * len(lines) + 8), 'white')
        photograph = read_image(str(found.names[index]))
        photograph.thumbnail((_SIDE - 6, _SIDE - 6))
        tile.paste(photograph, (3, _SIDE - 3 - photograph.height))
        draw = ImageDraw.Draw(tile)
        for row, line in enumerate(lines):
            font = ImageFont.load_default(_LINE * 0.8)
            colour = 'black' if line.endswith(f': {truth}') else 'red'
            draw.text((4, _SIDE + row * _LINE), line, fill=colour, font=font)
        tiles.append(tile)
    starts = range(0, len(tiles), _COLUMNS)
    return vstack([hstack(tiles[first : first + _COLUMNS]) for first in starts])


_write = partial(write_mini_imagenet, 'data/mini_imagenet', num_train=2000, scale=0.4)
#: run(configs, options): the demo, see `glore_mm.demos.comparison.demo`.
run = partial(demo, 'cls', _write, _picture)
