"""Reading images of all kinds, and errors."""

from pathlib import Path

import cv2
import numpy as np
import pytest
import tifffile
from mmengine.registry import TRANSFORMS, init_default_scope
from photographs import save, scene, truncated
from PIL import Image, ImageCms, PngImagePlugin, TiffImagePlugin

import glore_mm.cls  # noqa: F401  (registers)
from glore_mm.utils import images
from glore_mm.utils.errors import UnreadableSampleError


@pytest.fixture(autouse=True)
def scope():
    init_default_scope('mmpretrain')


def load(path: Path) -> np.ndarray:
    """Output of LoadImage for a file, RGB."""
    found = TRANSFORMS.build(dict(type='LoadImage'))(dict(img_path=str(path)))
    image = found['img']
    assert image.dtype == np.uint8 and image.flags.c_contiguous
    assert found['img_shape'] == found['ori_shape'] == image.shape[:2]
    return image[..., ::-1]


def assert_alike(found, expected, tolerance=3.0):
    expected = np.asarray(expected).astype(float)
    assert found.shape == expected.shape
    assert np.abs(found - expected).mean() < tolerance


def test_order_of_the_channels(tmp_path):
    assert_alike(load(save(scene(), tmp_path / 'a.png')), scene(), 1e-9)
    assert_alike(load(save(scene(), tmp_path / 'a.jpg', quality=95)), scene())


def test_grey(tmp_path):
    grey = scene().convert('L')
    found = load(save(grey, tmp_path / 'a.jpg', quality=95))
    assert_alike(found, grey.convert('RGB'))
    dots = scene().convert('1')
    assert_alike(load(save(dots, tmp_path / 'b.png')), dots.convert('RGB'), 1e-9)


def test_cmyk(tmp_path):
    """CMYK is inverted in JPEG files; ignoring this would give the negative."""
    path = save(scene().convert('CMYK'), tmp_path / 'a.jpg', quality=95)
    assert Image.open(path).mode == 'CMYK'
    assert_alike(load(path), scene())


@pytest.mark.parametrize('order', ['<u2', '>u2'])
def test_grey_of_16_bits(order, tmp_path):
    grey = np.asarray(scene().convert('L'))
    deep = Image.fromarray(grey.astype(np.uint16) * 257)
    suffix = 'png' if order == '<u2' else 'tif'
    found = load(save(deep, tmp_path / f'a.{suffix}'))
    assert_alike(found, np.repeat(grey[..., None], 3, axis=-1), 1e-9)


def test_colour_of_16_bits(tmp_path):
    import cv2

    deep = np.asarray(scene()).astype(np.uint16) * 257
    cv2.imwrite(str(tmp_path / 'a.png'), deep[..., ::-1])
    assert_alike(load(tmp_path / 'a.png'), scene(), 1.0)


def test_palette_and_transparency(tmp_path):
    few = scene().quantize(64)
    assert_alike(load(save(few, tmp_path / 'a.gif')), few.convert('RGB'), 1e-9)
    clear = scene()
    clear.putalpha(90)
    assert_alike(load(save(clear, tmp_path / 'b.png')), scene(), 1e-9)
    grey = scene().convert('L')
    dim = Image.merge('LA', [grey, Image.new('L', (64, 48), 90)])
    assert_alike(load(save(dim, tmp_path / 'c.png')), grey.convert('RGB'), 1e-9)


@pytest.mark.parametrize('orientation', range(1, 9))
def test_exif_orientation_is_applied(orientation, tmp_path):
    stored = {
        1: None,
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }[orientation]
    image = scene() if stored is None else scene().transpose(stored)
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = save(image, tmp_path / 'a.jpg', quality=95, exif=exif)
    assert_alike(load(path), scene())


def test_damaged_exif_is_ignored(tmp_path):
    """With an EXIF tag that points outside, as phones and editors write."""
    exif = Image.Exif()
    exif[0x0112] = 6
    path = save(scene(), tmp_path / 'a.jpg', quality=95, exif=exif)
    content = path.read_bytes()
    start = content.index(b'Exif')
    for offset in range(start + 6, start + len(exif.tobytes())):  # any of its bytes
        path.write_bytes(content[:offset] + b'\xff' + content[offset + 1 :])
        found = load(path)
        assert found.shape[:2] in ((48, 64), (64, 48))
    profile = PngImagePlugin.PngInfo()
    profile.add_text('Raw profile type exif', '\nexif\n 8\nno digits')
    path = save(scene(), tmp_path / 'b.png', pnginfo=profile)
    assert_alike(load(path), scene(), 1e-9)


def test_pgm_of_16_bits(tmp_path):
    grey = np.asarray(scene().convert('L'))
    content = b'P5 64 48 65535\n' + (grey.astype('>u2') * 257).astype('>u2').tobytes()
    (tmp_path / 'a.pgm').write_bytes(content)
    expected = np.repeat(grey[..., None], 3, axis=-1)
    assert_alike(load(tmp_path / 'a.pgm'), expected, 1e-9)


def test_a_colour_profile_is_ignored(tmp_path):
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile('sRGB')).tobytes()
    path = save(scene(), tmp_path / 'a.jpg', quality=95, icc_profile=profile)
    assert_alike(load(path), scene())


BAD = {
    'empty.jpg': (b'', 'cannot be read as an image'),
    'text.jpg': (b'This is not a photograph.', 'cannot be read as an image: cannot id'),
    'page.jpg': (b'<html><body>404</body></html>', 'cannot be read as an image'),
    'short.jpg': (truncated('jpg'), 'cannot be read as an image: image file is trunc'),
    'short.png': (truncated('png'), 'cannot be read as an image: image file is trunc'),
}


@pytest.mark.parametrize('name', BAD)
def test_unreadable_images(name, tmp_path):
    content, reason = BAD[name]
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(UnreadableSampleError) as error:
        load(path)
    assert str(error.value).startswith(f'{path}: {reason}')
    assert str(error.value).endswith('etch it again.')


def test_missing_file(tmp_path):
    with pytest.raises(UnreadableSampleError, match='gone.jpg: no such file. Fetch'):
        load(tmp_path / 'gone.jpg')


def write_tiff(path, values, *, sample_format=1, tags=()):
    """Write (H, W) or (H, W, bands) uncompressed, with tags beside the usual ones."""
    values = np.ascontiguousarray(values)
    height, width, bands = (*values.shape, 1)[:3]
    data = values.tobytes()
    short = [
        (256, width), (257, height), (258, [values.itemsize * 8] * bands), (259, 1),
        (262, 1 if bands < 3 else 2), (277, bands), (278, height), (284, 1),
        (339, [sample_format] * bands), *tags,
    ]  # fmt: skip
    with open(path, 'wb') as file:
        ifd = TiffImagePlugin.ImageFileDirectory_v2()
        for tag, value in short:
            ifd[tag] = tuple(value) if isinstance(value, list) else value
        ifd[273], ifd[279] = 0, len(data)  # `tobytes` adds where the pixels begin
        file.write(b'II*\0' + (8).to_bytes(4, 'little') + ifd.tobytes(8) + data)
    return path


EXTRA = dict(tags=[(338, 0)])  # a band of unknown meaning
GREY = np.arange(48 * 64, dtype=np.uint16).reshape(48, 64)


@pytest.mark.parametrize(
    ('values', 'options', 'reason'),
    [
        (GREY.astype(np.float32), dict(sample_format=3), 'signed, floating-point or'),
        (GREY.astype(np.int16), dict(sample_format=2), 'signed, floating-point or 32'),
        (GREY.astype(np.float64), dict(sample_format=3), 'cannot identify image file'),
        (np.dstack([GREY] * 3).astype(np.float32), dict(sample_format=3), 'cannot id'),
        (np.dstack([GREY] * 2).astype(np.uint8), EXTRA, '2 bands|cannot id'),
        (np.dstack([GREY] * 4).astype(np.uint8), EXTRA, 'has 4 bands'),
        (np.dstack([GREY] * 4), EXTRA, 'it has 4 bands'),
        (np.dstack([GREY] * 5).astype(np.uint8), dict(tags=[(338, [0, 0])]), 'has 5'),
        (np.dstack([GREY] * 4).astype(np.uint8), dict(), 'it has 4 bands'),
    ],
)  # fmt: skip
def test_tiff_whose_values_or_bands_would_be_lost(values, options, reason, tmp_path):
    path = write_tiff(tmp_path / 'a.tif', values, **options)
    with pytest.raises(UnreadableSampleError, match=reason) as error:
        load(path)
    assert 'Save it as one page of 1 or 3 interleaved bands with 8 or 16' in str(
        error.value
    )


RGB = np.random.default_rng(0).integers(0, 65536, (20, 24, 3)).astype(np.uint16)


@pytest.mark.parametrize(
    ('values', 'options', 'reason'),
    [
        (RGB.transpose(2, 0, 1), dict(photometric='rgb', planarconfig='separate'),
         'it stores 16-bit bands one after the other'),
        (RGB.transpose(2, 0, 1), dict(photometric='minisblack'), 'it has 3 pages'),
        (RGB[..., 0].astype(np.int8), {}, 'its values are signed'),
    ],
)  # fmt: skip
def test_tiff_that_pillow_reads_wrongly(values, options, reason, tmp_path):
    tifffile.imwrite(tmp_path / 'a.tif', values, **options)
    with pytest.raises(UnreadableSampleError, match=reason):
        load(tmp_path / 'a.tif')


@pytest.mark.parametrize('bits', [8, 16])
@pytest.mark.parametrize('overview', [False, True])
def test_tiff_with_white_as_0(bits, overview, tmp_path):
    values = RGB[..., 0] if bits == 16 else (RGB[..., 0] >> 8).astype(np.uint8)
    with tifffile.TiffWriter(tmp_path / 'a.tif') as file:
        file.write(values, photometric='miniswhite')
        if overview:
            small = np.ascontiguousarray(values[::2, ::2])
            file.write(small, photometric='miniswhite', subfiletype=1)
    expected = np.rint((2**bits - 1 - values.astype(float)) * 255 / (2**bits - 1))
    assert np.array_equal(load(tmp_path / 'a.tif')[..., 0], expected)


@pytest.mark.parametrize('kind', ['a.tif', 'a.png'])
def test_12_bits_in_16_are_warned_of(kind, tmp_path, monkeypatch):
    messages = []
    monkeypatch.setattr(images, '_warned', set())
    monkeypatch.setattr(images, 'print_log', lambda text, **_: messages.append(text))
    rgb = np.dstack([GREY] * 3)  # up to 3071
    path = tmp_path / kind
    if kind == 'a.tif':
        write_tiff(path, rgb)
    else:
        path.write_bytes(cv2.imencode('.png', rgb)[1].tobytes())
    assert load(path).max() == 3071 // 256
    (message,) = messages
    assert message.startswith(f'{path} has 16 bits, but no value above 3071')


@pytest.mark.parametrize('kind', ['a.gif', 'a.png', 'a.webp'])
def test_animated_images_are_warned_of(kind, tmp_path, monkeypatch):
    messages = []
    monkeypatch.setattr(images, '_warned', set())
    monkeypatch.setattr(images, 'print_log', lambda text, **_: messages.append(text))
    frames = [Image.new('RGB', (8, 8), color) for color in ('red', 'blue')]
    path = tmp_path / kind
    frames[0].save(path, save_all=True, append_images=frames[1:], lossless=True)
    assert load(path)[0, 0].tolist() == [255, 0, 0]
    assert messages == [f'{path} is animated: its first frame is used.']


def test_tiff_of_the_same_writer_is_read(tmp_path):
    rgb = np.dstack([GREY] * 3).astype(np.uint8)
    assert np.array_equal(load(write_tiff(tmp_path / 'a.tif', rgb)), rgb)
