"""Fuzzing of image files of all formats and modes: read, or an error with the path."""

import functools
import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from fuzzing import SCRATCH, Guard, assert_clear, damaged, fuzz
from mmengine.registry import DATASETS, TRANSFORMS
from PIL import Image

import glore_mm.cls
import glore_mm.seg
import glore_mm.video  # noqa: F401  (each registers)

ROOT = SCRATCH / 'images'
WIDTH, HEIGHT = 16, 12
FORMATS = ('PNG', 'JPEG', 'MPO', 'TIFF', 'BMP', 'GIF', 'WEBP', 'PPM', 'AVIF',
           'JPEG2000', 'TGA', 'ICO')  # fmt: skip
MODES = ('1', 'L', 'LA', 'La', 'P', 'PA', 'RGB', 'RGBA', 'RGBa', 'RGBX', 'CMYK',
         'YCbCr', 'LAB', 'HSV', 'I', 'F', 'I;16', 'I;16B')  # fmt: skip


@functools.cache
def files() -> dict[str, bytes]:
    """A small file of each format in each of its modes."""
    pixels = np.random.default_rng(0).integers(0, 19, (HEIGHT, WIDTH, 4), np.uint8)
    found = {}
    for form in FORMATS:
        for mode in MODES:
            image = Image.new(mode, (WIDTH, HEIGHT))
            bands = Image.fromarray(pixels).split()[: len(image.getbands())]
            if mode in ('L', 'P'):
                image = Image.fromarray(pixels[..., 0])
            elif mode in ('LA', 'RGB', 'RGBA', 'CMYK', 'YCbCr', 'LAB', 'HSV'):
                image = Image.merge(mode, bands)
            file = io.BytesIO()
            try:
                image.save(file, form, quality=50)
            except (OSError, ValueError, KeyError):
                continue  # a mode that the format does not have
            found[f'{form} {mode}'] = file.getvalue()
    exif = Image.Exif()
    exif[0x0112] = 6
    file = io.BytesIO()
    Image.fromarray(pixels[..., :3]).save(file, 'JPEG', exif=exif)
    return found | {'JPEG with EXIF': file.getvalue()}


GOOD, BAD = ROOT / 'good', ROOT / 'bad'
PHOTOGRAPH, FRAME = BAD / 'photograph.jpg', BAD / 'frames' / '1'
SCENE, LABELS = BAD / 'images' / 'a.jpg', BAD / 'labels' / 'a.png'


@pytest.fixture(scope='session', autouse=True)
def folders():
    """Two folders with the same files, one of them to damage."""
    for path in (PHOTOGRAPH, SCENE, LABELS, FRAME):
        for root in (GOOD, BAD):
            copy = root / path.relative_to(BAD)
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes(files()['PNG L'])


def shape_and_type(image: np.ndarray) -> tuple:
    return image.shape, image.dtype.name


def load_photograph(root: Path) -> tuple:
    load = TRANSFORMS.build(dict(type='LoadImage'))
    sample = dict(img_path=str(root / PHOTOGRAPH.name))
    return shape_and_type(load(sample)['img'])


def load_scene(root: Path) -> tuple:
    """Read one image and its label map as in configs/_base_/datasets."""
    scenes = DATASETS.build(
        dict(
            type='mmseg.PascalVOC',
            data_root=str(root),
            data_prefix=dict(img_path='images', seg_map_path='labels'),
            serialize_data=False,  # Hypothesis would collect garbage each time
            pipeline=[
                dict(type='LoadImage'),
                dict(type='mmseg.LoadSegLabels'),
            ],
        )
    )
    sample = scenes[0]
    labels = sample['gt_seg_map']
    assert labels.shape == sample['img'].shape[:2]
    assert labels.dtype == np.uint8
    assert set(np.unique(labels)) <= {*range(21), 255}
    return shape_and_type(sample['img'])


def load_frame(root: Path) -> tuple:
    decode = TRANSFORMS.build(dict(type='mmaction.RawFramesDecode'))
    folder = str(root / 'frames')
    clip = dict(frame_dir=folder, filename_tmpl='{}', frame_inds=np.array([1]))
    return shape_and_type(decode(clip)['imgs'][0])


# Pillow limits images to 180 million pixels
photograph, scene, frame = (
    Guard(load, functools.partial(load, GOOD), memory=3 << 30)
    for load in (load_photograph, load_scene, load_frame)
)


def check(outcome: tuple, *names: object) -> str | None:
    found, message = outcome
    if message:
        assert_clear(message, *names)
        return message
    (_, _, colours), kind = found
    assert (colours, kind) == (3, 'uint8')


@fuzz(150, file=damaged(files))
def test_photographs(file):
    PHOTOGRAPH.write_bytes(file.content)
    return check(photograph(BAD), PHOTOGRAPH)


@fuzz(150, file=damaged(files))
def test_scenes(file):
    LABELS.write_bytes(files()['PNG L'])
    SCENE.write_bytes(file.content)
    return check(scene(BAD), SCENE)


@fuzz(150, file=damaged(files))
def test_label_maps(file):
    SCENE.write_bytes(files()['PNG L'])
    LABELS.write_bytes(file.content)
    return check(scene(BAD), LABELS)


@fuzz(100, file=damaged(files))
def test_frames_on_disk(file):
    FRAME.write_bytes(file.content)
    return check(frame(BAD), FRAME)


# ---------------------------------------------------------------- declared sizes

HUGE = 50_000


def bomb(form: str) -> bytes:
    """A small file that declares 2.5 billion pixels."""
    content = files()[f'{form} L']
    for order in ('>II', '>HH', '<ii', '<HH'):
        for sides in ((WIDTH, HEIGHT), (HEIGHT, WIDTH)):
            content = content.replace(
                struct.pack(order, *sides), struct.pack(order, HUGE, HUGE)
            )
    content = content.replace(b'16 12', b'%d %d' % (HUGE, HUGE))
    if form == 'PNG':  # the header has a check sum
        head = content[12:29]
        content = content[:29] + struct.pack('>I', zlib.crc32(head)) + content[33:]
    return content


@pytest.mark.parametrize('form', ['PNG', 'JPEG', 'GIF', 'PPM'])
def test_an_impossible_size_allocates_nothing(form):
    for path, read in (
        (PHOTOGRAPH, photograph),
        (SCENE, scene),
        (LABELS, scene),
        (FRAME, frame),
    ):
        path.write_bytes(bomb(form))
        message = check(read(BAD), path)
        assert 'exceeds limit' in message and 'Make it smaller' in message
        path.write_bytes(files()['PNG L'])
