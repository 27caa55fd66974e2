"""The demo: a small 3D ResNet with and without GloRe on generated clips, in minutes."""

from functools import partial

from mmcv.transforms import Compose
from PIL import Image

from glore_mm.demos.comparison import Comparison, demo
from glore_mm.synthetic.mini_kinetics import write_mini_kinetics
from glore_mm.video.visualization import draw_frame_strip
from glore_mm.visualization.drawing import vstack


def _picture(found: Comparison) -> Image.Image:
    """Frames of one clip of each class, under its truth and the predictions."""
    read = Compose(found.cfg.test_dataloader.dataset.pipeline[:3])
    rows = []
    for label in range(len(found.classes)):
        index = found.pick_sample(label)
        sample = read(dict(filename=str(found.names[index]), start_index=0))
        rows.append(draw_frame_strip(sample['imgs'], found.about(index)))
    return vstack(rows)


_write = partial(write_mini_kinetics, 'data/mini_kinetics', num_train=1280, scale=0.3)
#: run(configs, options): the demo, see `glore_mm.demos.comparison.demo`.
run = partial(demo, 'video', _write, _picture)
