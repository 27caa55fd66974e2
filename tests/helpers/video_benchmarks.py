"""Small data sets in the layouts of published video benchmarks."""

from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

import numpy as np

from glore_mm.synthetic.mini_kinetics import draw_video
from glore_mm.synthetic.writer import write_video

NUM_CLIPS = 2  # of each split


class Layout(NamedTuple):
    """Paths of a video and of a list, with {split}, {i} and {fold}; the encoding."""

    video: str
    listed: str
    classes: int
    codec: str = 'libx264'
    rate: int = 25
    frames: int = 70
    folds: int = 1
    folder: str = 'videos'

    def name(self, split: str, i: int) -> str:
        """Return the path of a video in a list."""
        # the number of a group, of a video, …
        number = i + (NUM_CLIPS if split == 'val' else 0) + 1
        return self.video.format(i=number)


#: By the name of the folder in `data`.
LAYOUTS = dict(
    ucf101=Layout(
        'YoYo/v_YoYo_g0{i}_c01.avi',
        'ucf101_{split}_split_{fold}_videos.txt',
        101,
        'mpeg4',
        frames=40,
        folds=3,
    ),
    hmdb51=Layout(
        'wave/50_FIRST_DATES_wave_f_cm_np1_fr_med_{i}.avi',
        'hmdb51_{split}_split_{fold}_videos.txt',
        51,
        'mpeg4',
        rate=30,
        frames=20,
        folds=3,
    ),
    kinetics600=Layout(
        'zumba/0wR5jVB-WPk_00041{i}_00042{i}.mp4',
        'kinetics600_{split}_list_videos.txt',
        600,
        folder='videos_{split}',
    ),
    kinetics700=Layout(
        'zumba/0wR5jVB-WPk_00041{i}_00042{i}.mp4',
        'kinetics700_{split}_list_videos.txt',
        700,
        folder='videos_{split}',
    ),
    sthv2=Layout(
        '{i}.webm', 'sthv2_{split}_list_videos.txt', 174, 'libvpx-vp9', 12, 30
    ),
    diving48=Layout('_8Vy3dlHg2w_0000{i}.mp4', 'diving48_{split}_list_videos.txt', 48),
    kinetics400=Layout(
        'zumba/0wR5jVB-WPk_00041{i}_00042{i}.mp4',
        'kinetics400_{split}_list_videos.txt',
        400,
        folder='videos_{split}',
    ),
)


def write_video_benchmark(root: Path, kind: str) -> Path:
    """Write a data set with the layout, the lists and the codec of a benchmark.

    The lists are those of mmaction2's scripts. The first clip of a split has the last
    class, the second clip the first class. Each further fold exchanges the splits.
    """
    layout = LAYOUTS[kind]
    root.mkdir(parents=True, exist_ok=True)
    names = [f'class {i}' for i in range(layout.classes)]
    (root / 'label_map.txt').write_text('\n'.join(names) + '\n')
    lines = {}
    for split in ('train', 'val'):
        folder = root / layout.folder.format(split=split)
        lines[split] = []
        for i in range(NUM_CLIPS):
            name = layout.name(split, i)
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            frames = draw_video(np.random.default_rng(i), 0.0, (48, 64), layout.frames)
            rate = Fraction(layout.rate)
            write_video(folder / name, frames, layout.codec, rate, 'yuv420p')
            lines[split].append(f'{name} {(layout.classes - 1) * (i == 0)}\n')
    for fold in range(layout.folds):
        for split, other in (('train', 'val'), ('val', 'train')):
            file = root / layout.listed.format(split=split, fold=fold + 1)
            file.write_text(''.join(lines[other if fold % 2 else split]))
    return root
