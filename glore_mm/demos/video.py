"""The demo of video: clips of two moving objects; the class is how they move."""

from functools import partial

from mmcv.transforms import Compose
from PIL import Image

from glore_mm.apis.train import TrainResult
from glore_mm.demos.comparison import Demo
from glore_mm.demos.predictions import describe, pick_sample, read_dumps, top1
from glore_mm.synthetic.mini_kinetics import write_mini_kinetics
from glore_mm.video.visualization import draw_frame_strip
from glore_mm.visualization.drawing import vstack


def _draw(results: dict[str, TrainResult]) -> tuple[Image.Image, str]:
    """Frames of a clip of each class, below its truth and the predictions."""
    dumps = read_dumps(results)
    (*_, dump), (*_, result) = dumps.values(), results.values()
    read = Compose(result.cfg.test_dataloader.dataset.pipeline[:3])
    rows = []
    for label in range(len(dump.classes)):
        index = pick_sample(dumps, label)
        sample = read(dict(filename=str(dump.names[index]), start_index=0))
        text = ' | '.join(describe(dumps, index))
        rows.append(draw_frame_strip(sample['imgs'], text))
    return vstack(rows), str(dump.names[0])


DEMO = Demo(
    write=partial(write_mini_kinetics, 'data/mini_kinetics', num_train=1280, scale=0.3),
    configs={
        '3D ResNet': 'video/plain_mini.py',
        '3D ResNet + GloRe': 'video/glore_mini.py',
    },
    scores=top1,
    draw=_draw,
    conclusion='Both networks learn this task. With one seed and little training, '
    'which one is ahead may be chance.',
)
