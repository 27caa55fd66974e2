"""The demo: a small 3D ResNet with and without GloRe on generated clips, in minutes."""

from functools import partial

from mmcv.transforms import Compose
from PIL import Image

from glore_mm.datasets.mini_kinetics import write_mini_kinetics
from glore_mm.engine.comparison import Comparison, demo
from glore_mm.pictures import stacked
from glore_mm.video.pictures import strip


def _picture(found: Comparison) -> Image.Image:
    """Frames of one clip of each class, under its truth and the predictions."""
    read = Compose(found.cfg.test_dataloader.dataset.pipeline[:3])
    rows = []
    for label in range(len(found.classes)):
        index = found.telling(label)
        sample = read(dict(filename=str(found.names[index]), start_index=0))
        rows.append(strip(sample['imgs'], found.about(index)))
    return stacked(rows)


_write = partial(write_mini_kinetics, 'data/mini_kinetics', num_train=1280, scale=0.3)
#: run(configs, options): the demo, see `glore_mm.engine.comparison.demo`.
run = partial(demo, 'video', _write, _picture)
