"""tools/masks_to_indices.py."""

import numpy as np
import pytest
from PIL import Image
from squares import write_project

COLORS = np.array([[0, 0, 0], [255, 0, 0]], np.uint8)


@pytest.fixture
def project(tmp_path):
    """The folder of `write_project` with colour masks."""
    write_project(tmp_path)
    for path in (tmp_path / 'data' / 'ann').rglob('*.png'):
        Image.fromarray(COLORS[np.array(Image.open(path))]).save(path)
    return tmp_path


def test_the_palette_comes_from_a_config_or_the_command_line(project, tool):
    for folder, option in (
        ('a', ['--config', 'base.py']),
        ('b', ['--palette', '0,0,0', '255,0,0']),
    ):
        done = tool('masks_to_indices', 'data/ann', folder, *option, cwd=project)
        assert done.stdout.splitlines()[-1] == f'8 masks written to {folder}'
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


def test_colours_that_are_not_in_the_palette(project, tool):
    command = ['masks_to_indices', 'data/ann', 'out', '--palette', '0,0,0']
    done = tool(*command, cwd=project, check=False)
    assert done.returncode == 1
    assert 'p0.png has 1 colour(s) that are not in the palette: (255, ' in done.stderr
    tool(*command, '--others', 255, cwd=project)
    assert set(np.unique(Image.open(project / 'out/val/p0.png'))) == {0, 255}


def test_masks_saved_as_jpeg(project, tool):
    noise = np.random.default_rng(0).integers(0, 256, (48, 64, 3), np.uint8)
    Image.fromarray(noise).save(project / 'data' / 'ann' / 'a.jpg')
    done = tool('masks_to_indices', 'data/ann', 'out', cwd=project, check=False)
    assert 'more than 256 colours up to data/ann/a.jpg' in done.stderr
