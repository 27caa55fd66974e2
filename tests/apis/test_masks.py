"""tools/masks_to_indices.py."""

import json

import numpy as np
import pytest
from PIL import Image
from squares import write_project

from glore_mm.apis.masks import convert_coco, read_color_file
from glore_mm.utils.errors import UserError

COLORS = np.array([[0, 0, 0], [255, 0, 0]], np.uint8)


@pytest.fixture
def project(tmp_path):
    """The folder of `write_project` with colour masks."""
    write_project(tmp_path)
    for path in (tmp_path / 'data' / 'ann').rglob('*.png'):
        Image.fromarray(COLORS[np.array(Image.open(path))]).save(path)
    return tmp_path


@pytest.mark.slow
def test_the_palette_comes_from_a_config_or_the_command_line(project, tool):
    for folder, option in (
        ('a', ['--config', 'base.py']),
        ('b', ['--palette', '0,0,0', '255,0,0']),
    ):
        done = tool('masks_to_indices', 'data/ann', folder, *option, cwd=project)
        # before the shares of the two classes
        assert done.stdout.splitlines()[-3] == f'8 masks written to {folder}'
        mask = Image.open(project / folder / 'train' / 'p0.png')
        colors = np.array(Image.open(project / 'data' / 'ann' / 'train' / 'p0.png'))
        assert mask.mode == 'P'
        np.testing.assert_array_equal(np.array(mask), colors[..., 0] == 255)
        np.testing.assert_array_equal(np.array(mask.convert('RGB')), colors)


def test_colours_are_counted(project, tool):
    done = tool('masks_to_indices', 'data/ann', 'out', cwd=project)
    pixels = 8 * 48 * 64
    assert done.stdout.splitlines() == [
        f'0,0,0: {pixels - 8 * 24 * 24} pixels', f'255,0,0: {8 * 24 * 24} pixels',
    ]  # fmt: skip
    assert not (project / 'out').exists()


@pytest.mark.slow
def test_colours_that_are_not_in_the_palette(project, tool):
    command = ['masks_to_indices', 'data/ann', 'out', '--palette', '0,0,0']
    done = tool(*command, cwd=project, check=False)
    assert done.returncode == 1
    assert 'p0.png has 1 colour(s) that are not in the palette: (255, ' in done.stderr
    done = tool(*command, '--others', 256, cwd=project, check=False)
    assert '--others must be from 0 to 255, got 256' in done.stderr
    done = tool(*command, '--others', 255, cwd=project)
    assert '255 other colours: 18.75% of the pixels' in done.stdout
    assert set(np.unique(Image.open(project / 'out/val/p0.png'))) == {0, 255}


def test_masks_saved_as_jpeg(project, tool):
    noise = np.random.default_rng(0).integers(0, 256, (48, 64, 3), np.uint8)
    Image.fromarray(noise).save(project / 'data' / 'ann' / 'a.jpg')
    done = tool('masks_to_indices', 'data/ann', 'out', cwd=project, check=False)
    assert 'more than 256 colours up to data/ann/a.jpg' in done.stderr


def test_colours_found_in_the_masks_become_classes(project, tool):
    tool('masks_to_indices', 'data/ann', 'out', '--palette', 'found', cwd=project)
    mask = Image.open(project / 'out/val/p0.png')
    assert set(np.unique(mask)) == {0, 1}
    assert mask.getpalette()[:6] == COLORS.ravel().tolist()
    assert not (project / 'out/classes.txt').exists()


@pytest.mark.parametrize(
    'text',
    ['0 0 0\tbare soil\n255 0 0\tcrop 2\n',
     'name,r,g,b\nbare soil,0,0,0\ncrop 2,255,0,0\n',
     '0;0;0;bare soil\n\n255;0;0;crop 2\n'],
)  # fmt: skip
def test_a_file_of_colours(project, tool, text):
    (project / 'colors').write_text(text)
    tool('masks_to_indices', 'data/ann', 'out', '--palette', 'colors', cwd=project)
    assert (project / 'out/classes.txt').read_text() == 'bare soil\ncrop 2\n'
    assert set(np.unique(Image.open(project / 'out/val/p0.png'))) == {0, 1}


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        ('0 0 0 a\n1 1 b\n', "line 2: '1 1 b'; expected red, green, blue and a name"),
        ('0 0 256 a\n', 'expected in each line red, green and blue from 0 to 255'),
        ('', 'expected in each line red'),
        ('0 128 64 128 road\n', "line 1: '0 128 64 128 road'; expected red, green,"),
        ('road 128 64 128 255\n', "line 1: 'road 128 64 128 255'; expected red"),
        ('O 0 0 sky\n0 0 1 road\n', "line 1: 'O 0 0 sky'; expected red, green"),
        ('0 0 0 sky\n0 0 0 road\n', r'two classes have the colour \[0, 0, 0\]'),
    ],
)
def test_a_wrong_file_of_colours(tmp_path, text, message):
    (tmp_path / 'colors').write_text(text)
    with pytest.raises(UserError, match=message):
        read_color_file(str(tmp_path / 'colors'))


SQUARE = dict(
    id=1, image_id=1, category_id=3, iscrowd=0, segmentation=[[0, 0, 2, 0, 2, 2]]
)


@pytest.mark.parametrize(
    ('images', 'annotation', 'message'),
    [
        ([1], dict(SQUARE, image_id='1'), "annotations of image '1', which it lacks"),
        ([1, 2], SQUARE, 'several images with one file_name'),
        ([1], dict(SQUARE, segmentation=[]), 'annotation 1 has a box, no outline'),
    ],
)
def test_coco_annotations_that_cannot_be_drawn(images, annotation, message, tmp_path):
    content = dict(
        images=[dict(id=i, file_name='x.jpg', height=4, width=5) for i in images],
        categories=[dict(id=3, name='dog')],
        annotations=[annotation],
    )
    (tmp_path / 'coco.json').write_text(json.dumps(content))
    with pytest.raises(UserError, match=message):
        list(convert_coco(str(tmp_path / 'coco.json'), str(tmp_path / 'masks')))


@pytest.mark.slow
def test_coco_annotations(tmp_path, tool):
    box = dict(iscrowd=0, image_id=1)
    square, small = [2, 2, 8, 2, 8, 8, 2, 8], [4, 4, 6, 4, 6, 6, 4, 6]
    rle = dict(counts=[0, 6, 10 * 12 - 6], size=[10, 12])  # the top of column 0
    content = dict(
        images=[
            dict(id=1, file_name='a/x.jpg', height=10, width=12),
            dict(id=2, file_name='../../empty.jpg', height=4, width=5),
        ],
        categories=[dict(id=9, name='cat'), dict(id=3, name='dog')],
        annotations=[
            # smaller, listed first, so that it must be drawn last
            dict(box, id=1, category_id=9, segmentation=[small]),
            dict(box, id=2, category_id=3, segmentation=[square]),
            dict(box, id=3, category_id=9, area=1, segmentation=rle, iscrowd=1),
        ],
    )  # fmt: skip
    (tmp_path / 'coco.json').write_text(json.dumps(content))
    done = tool('masks_to_indices', 'coco.json', 'masks', cwd=tmp_path)
    assert done.stdout == '2 masks written to masks\n'
    command = ['masks_to_indices', 'coco.json', 'masks', '--others', 255]
    done = tool(*command, cwd=tmp_path, check=False)
    assert 'a COCO file has its classes: leave out the other options' in done.stderr
    expected = np.zeros((10, 12), int)
    expected[2:8, 2:8] = 1
    expected[4:6, 4:6] = 2
    expected[:6, 0] = 2
    np.testing.assert_array_equal(Image.open(tmp_path / 'masks/a/x.png'), expected)
    assert not np.array(Image.open(tmp_path / 'masks/empty.png')).any()
    assert (tmp_path / 'masks/classes.txt').read_text() == 'background\ndog\ncat\n'

    content['annotations'][1]['category_id'] = 4
    (tmp_path / 'coco.json').write_text(json.dumps(content))
    done = tool('masks_to_indices', 'coco.json', 'other', cwd=tmp_path, check=False)
    assert 'the annotations of a/x.jpg cannot be drawn: KeyError: 4' in done.stderr
    (tmp_path / 'coco.json').write_text('[]')
    done = tool('masks_to_indices', 'coco.json', 'other', cwd=tmp_path, check=False)
    assert done.stderr.startswith('error: coco.json cannot be read as COCO annotations')
    assert not (tmp_path / 'other').exists()
