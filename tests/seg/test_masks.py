"""Reading masks: their values are those that were written."""

import struct
import zlib

import numpy as np
import pytest
import tifffile
from PIL import Image

from glore_mm.seg.masks import read_mask
from glore_mm.utils.errors import UserError

VALUES = np.array([[0, 3, 7], [7, 7, 0]], np.uint8)


def write_rotated(path):
    exif = Image.Exif()
    exif[0x0112] = 6  # a viewer rotates it by 90° clockwise
    Image.fromarray(np.rot90(VALUES).copy()).save(path, exif=exif)


def write_with_overview(path):
    with tifffile.TiffWriter(path) as file:
        file.write(VALUES, subifds=0)
        file.write(VALUES[:1, :1], subfiletype=1)


def pgm(magic, largest):
    def write(path):
        pixels = VALUES.astype('>u2' if largest > 255 else np.uint8).tobytes()
        if magic == 'P2':
            pixels = ' '.join(map(str, VALUES.ravel())).encode()
        path.write_bytes(f'{magic}\n3 2\n{largest}\n'.encode() + pixels)

    return write


def grey_png(bits):
    """Pillow writes no grey PNG with 2 or 4 bits."""

    def chunk(kind, content):
        check = zlib.crc32(kind + content)
        return (
            struct.pack('>I', len(content)) + kind + content + struct.pack('>I', check)
        )

    def write(path):
        values = VALUES % 4
        digits = [
            ''.join(f'{v:0{bits}b}' for v in row).ljust(16, '0') for row in values
        ]
        rows = [
            b'\0' + int(row, 2).to_bytes(2, 'big')[: -(-3 * bits // 8)]
            for row in digits
        ]
        path.write_bytes(
            b'\x89PNG\r\n\x1a\n'
            + chunk(b'IHDR', struct.pack('>IIBBBBB', 3, 2, bits, 0, 0, 0, 0))
            + chunk(b'IDAT', zlib.compress(b''.join(rows)))
            + chunk(b'IEND', b'')
        )

    return write


@pytest.mark.parametrize('bits', [2, 4])
def test_grey_levels_of_few_bits(bits, tmp_path):
    grey_png(bits)(tmp_path / 'a.png')
    values, _ = read_mask(str(tmp_path / 'a.png'))
    np.testing.assert_array_equal(values, VALUES % 4)


@pytest.mark.parametrize(
    ('name', 'write'),
    [
        ('a.png', lambda path: Image.fromarray(VALUES).save(path)),
        ('16_bits.png', lambda path: Image.fromarray(VALUES.astype('u2')).save(path)),
        ('32_bits.tif', lambda path: tifffile.imwrite(path, VALUES.astype('i4'))),
        ('rotated.png', write_rotated),
        ('overview.tif', write_with_overview),
        # Pillow stores the grey levels as a palette
        ('grey.gif', lambda path: Image.fromarray(VALUES).save(path)),
        *(
            (f'{magic}_{largest}.pgm', pgm(magic, largest))
            for magic in ('P2', 'P5')
            for largest in (7, 20, 255, 300, 65535)
        ),
    ],
)
def test_the_values_are_those_in_the_file(name, write, tmp_path):
    write(tmp_path / name)
    values, palette = read_mask(str(tmp_path / name))
    np.testing.assert_array_equal(values, VALUES)
    assert palette == []


def test_plain_bitmaps(tmp_path):
    (tmp_path / 'a.pgm').write_text('P1\n3 1\n0 1 0\n')
    values, _ = read_mask(str(tmp_path / 'a.pgm'))
    assert len(np.unique(values)) == 2


def test_palettes(tmp_path):
    for name in ('a.png', 'a.gif'):
        mask = Image.fromarray(VALUES % 2, 'P')
        mask.putpalette([10, 20, 30, 255, 0, 128])
        mask.save(tmp_path / name)
        values, palette = read_mask(str(tmp_path / name))
        np.testing.assert_array_equal(values, VALUES % 2)
        assert palette[:2] == [[10, 20, 30], [255, 0, 128]]


def test_a_gif_with_grey_and_other_colours_keeps_its_indices(tmp_path):
    mask = Image.fromarray(VALUES % 2, 'P')
    mask.putpalette([0, 0, 0, 255, 255, 255, 255, 0, 0])
    mask.save(tmp_path / 'a.gif', optimize=False)
    values, palette = read_mask(str(tmp_path / 'a.gif'))
    np.testing.assert_array_equal(values, VALUES % 2)
    assert palette[:3] == [[0, 0, 0], [255, 255, 255], [255, 0, 0]]


@pytest.mark.parametrize('dtype', [np.uint8, np.uint16])
def test_tiff_in_which_white_is_zero(dtype, tmp_path):
    path = str(tmp_path / 'a.tif')
    tifffile.imwrite(path, VALUES.astype(dtype), photometric='miniswhite')
    np.testing.assert_array_equal(read_mask(path)[0], VALUES)


def test_errors(tmp_path):
    mask = Image.fromarray(VALUES)
    mask.save(tmp_path / 'a.jpg')
    with pytest.raises(UserError, match='a.jpg is a JPEG, which changes the values'):
        read_mask(str(tmp_path / 'a.jpg'))
    other = Image.fromarray(VALUES[::-1].copy())
    for name in ('pages.tif', 'frames.gif', 'frames.png'):
        mask.save(tmp_path / name, save_all=True, append_images=[other])
        with pytest.raises(UserError, match=f'{name} has 2 pages or frames; expected'):
            read_mask(str(tmp_path / name))
