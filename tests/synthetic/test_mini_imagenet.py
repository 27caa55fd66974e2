"""The generated images: ImageNet's layout, and a class that needs both halves."""

import functools
import json
import os
import subprocess
import sys
from collections import Counter

import numpy as np
import pytest
from paths import contents
from PIL import Image, JpegImagePlugin
from scipy.stats import binom

from glore_mm.synthetic.mini_imagenet import (
    CLASSES,
    draw_image,
    main,
    write_mini_imagenet,
)

SPLITS = ('train', 'val')
HALVES = ('left', 'right', 'top', 'bottom')


@pytest.fixture(scope='session')
def written(tmp_path_factory):
    return write_mini_imagenet(tmp_path_factory.mktemp('data') / 'mini', 60, 20)


@pytest.fixture(scope='session')
def images(tmp_path_factory):
    """Enough samples to learn from: arrays (H, W, 3) and labels of each split."""
    root = tmp_path_factory.mktemp('data') / 'many'
    write_mini_imagenet(root, num_train=1500, num_val=400, scale=0.2, seed=1)
    found = {}
    for split in SPLITS:
        paths = sorted((root / split).glob('*/*'))
        labels = np.array([CLASSES.index(path.parent.name) for path in paths])
        found[split] = [np.asarray(Image.open(path)) for path in paths], labels
    return found


def test_layout_and_names(written):
    paths = {
        f'train/{name}/{name}_{i}.JPEG'
        for k, name in enumerate(CLASSES)
        for i in range(k, 60, 10)
    } | {f'val/{CLASSES[i % 10]}/mini_val_{i + 1:08d}.JPEG' for i in range(20)}
    assert set(contents(written)) == paths | {'mini_imagenet.json'}
    assert len(CLASSES) == 10 and sorted(CLASSES) == list(CLASSES)


def test_files_are_jpegs_of_many_sizes(written):
    sizes, tables = Counter(), set()
    for path in written.rglob('*.JPEG'):
        with Image.open(path) as image:
            assert (image.format, image.mode) == ('JPEG', 'RGB')
            assert JpegImagePlugin.get_sampling(image) == 0  # blocks of 8 × 8 pixels
            sizes[image.size] += 1
            tables.add(str(image.quantization))
    assert len(tables) == 1
    assert {size for size, _ in sizes.most_common(2)} == {(500, 375), (375, 500)}
    assert sizes[500, 375] + sizes[375, 500] > 80 / 3 and len(sizes) >= 6
    assert sum(p.stat().st_size for p in written.rglob('*.JPEG')) < 80 * 60_000


def test_is_written_once_and_a_larger_set_begins_with_a_smaller_one(tmp_path):
    small = write_mini_imagenet(tmp_path / 'a', 12, 3, scale=0.2)
    again = write_mini_imagenet(tmp_path / 'b', 12, 3, scale=0.2)
    larger = write_mini_imagenet(tmp_path / 'c', 15, 4, scale=0.2)
    other = write_mini_imagenet(tmp_path / 'd', 12, 3, scale=0.2, seed=1)
    assert contents(small) == contents(again)
    pictures = {k: v for k, v in contents(small).items() if k.endswith('.JPEG')}
    assert len(set(pictures.values())) == 15
    assert pictures.items() < contents(larger).items()
    assert pictures.keys() < contents(other).keys()
    assert not pictures.items() & contents(other).items()

    before = os.stat(small / 'mini_imagenet.json').st_mtime_ns
    assert write_mini_imagenet(small, 12, 3, scale=0.2) == small
    assert os.stat(small / 'mini_imagenet.json').st_mtime_ns == before
    with pytest.raises(FileExistsError, match='is not the complete data set'):
        write_mini_imagenet(small, 13, 3, scale=0.2)
    next(small.rglob('*.JPEG')).unlink()
    with pytest.raises(FileExistsError, match='remove it, or write to another folder'):
        write_mini_imagenet(small, 12, 3, scale=0.2)
    assert sorted(p.name for p in tmp_path.iterdir()) == ['a', 'b', 'c', 'd']


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (dict(num_train=0), 'num_train must be an integer of 1 or more, got 0'),
        (dict(num_val=1.5), 'num_val must be an integer of 1 or more, got 1.5'),
        (dict(seed=-1), 'seed must be an integer of 0 or more, got -1'),
        (dict(scale=0.1), 'scale must be from 0.2 to 10, got 0.1'),
        (dict(scale=11), 'scale must be from 0.2 to 10, got 11'),
    ],
)
def test_wrong_arguments(arguments, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        write_mini_imagenet(tmp_path / 'mini', **arguments)
    assert not list(tmp_path.iterdir())


def test_command_line(tmp_path, capsys):
    command = [sys.executable, '-m', 'glore_mm.synthetic.mini_imagenet', 'mini']
    small = ['--num-train', '2', '--num-val', '1', '--scale', '0.2', '--seed', '3']
    done = subprocess.run(
        [*command, *small], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.stdout == 'mini\n', done.stderr
    record = json.loads((tmp_path / 'mini' / 'mini_imagenet.json').read_text())
    assert record == dict(version=1, seed=3, scale=0.2, train=2, val=1)
    assert len(list(tmp_path.rglob('*.JPEG'))) == 3
    with pytest.raises(SystemExit):
        main([str(tmp_path / 'mini')])
    assert 'is not the complete data set' in capsys.readouterr().err


@pytest.mark.parametrize('size', [(375, 500), (500, 333), (45, 60), (73, 100)])
def test_a_clock_is_a_block_away_from_the_middle_lines(size):
    """So no 8 × 8 JPEG block contains parts of a clock and of another half."""
    middle = np.array(size) // 2
    for seed in range(4):
        drawn = np.array(
            [
                draw_image(np.random.default_rng(seed), label, size).astype(int)
                for label in range(len(CLASSES))
            ]
        )
        altered = np.argwhere(np.ptp(drawn, axis=0).any(axis=-1))  # by the class
        assert (altered >= middle + 8).all() and len(altered) > 50
        # the other clock is the same in all classes; its face is light
        face = drawn[0][: middle[0], : middle[1]].min(axis=-1) > 200
        assert (np.argwhere(face) < middle - 8).all() and face.sum() > 9


# The direction of a hand follows from the two colours of the face: from the centre of
# one colour (light or dark) to the centre of the other (red or yellow).
# middle of the one, light or dark, to that of the other, red or yellow.


def direction(whence, whither):
    """Direction from one mask's centre to another's, complex; 0 if a mask is empty."""
    places = [np.argwhere(mask) for mask in (whence, whither)]
    if min(map(len, places)) < 9:
        return 0
    down, right = places[1].mean(axis=0) - places[0].mean(axis=0)
    return (right - 1j * down) / np.hypot(right, down)


def hands(image):
    """Directions of both hands, complex of length 1; 0 if not visible."""
    height, width = image.shape[0] // 2, image.shape[1] // 2
    r, g, b = np.moveaxis(image[:height, :width].astype(int), -1, 0)
    upper = direction(np.minimum(g, b) > 190, (r > 150) & (np.maximum(g, b) < 110))
    r, g, b = np.moveaxis(image[height:, width:].astype(int), -1, 0)
    lower = direction((r < 75) & (b > r + 30), (r > 170) & (g > 130) & (b < 120))
    return np.array([upper, lower])


def ahead(image):
    """Turns from the upper hand to the lower one, clockwise."""
    upper, lower = hands(image)
    return np.angle(upper * np.conj(lower)) / (2 * np.pi) % 1


def mask_except(image, part):
    """Return the image with everything grey except this part."""
    height, width = image.shape[:2]
    hidden = dict(
        both=np.s_[:0],
        left=np.s_[:, width // 2 :],
        right=np.s_[:, : width // 2],
        top=np.s_[height // 2 :],
        bottom=np.s_[: height // 2],
    )
    image = image.copy()
    image[hidden[part]] = 128
    return image


def harmonics(image):
    """Harmonics of both hands' angles and of their difference, real."""
    upper, lower = hands(image)
    powers = np.arange(1, 8)
    waves = [upper**powers, lower**powers, (upper * np.conj(lower)) ** powers]
    waves = np.concatenate(waves)
    return np.concatenate([waves.real, waves.imag])


def pixels(image):
    """Pixels of a centred square, reduced to 16 × 16."""
    height, width = image.shape[:2]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    square = Image.fromarray(image[top : top + side, left : left + side])
    return np.asarray(square.resize((16, 16), Image.Resampling.BOX)).ravel() / 64


def ridge(x, y, wanted):
    """Linear regression of the classes."""
    mean, scale = x.mean(axis=0), x.std(axis=0) + 1e-6
    x, wanted = (x - mean) / scale, (wanted - mean) / scale
    gram = x.T @ x + 10 * np.eye(x.shape[1])
    return (wanted @ np.linalg.solve(gram, x.T @ np.eye(10)[y])).argmax(axis=1)


def neighbours(x, y, wanted, k=5):
    """Most frequent class among the nearest neighbours."""
    distance = (x**2).sum(axis=1) - 2 * wanted @ x.T
    nearest = np.argpartition(distance, k, axis=1)[:, :k]
    return np.eye(10)[y[nearest]].sum(axis=1).argmax(axis=1)


def test_the_angle_between_hands_is_that_of_the_class(images):
    pictures, labels = images['val']
    predicted = [round(10 * ahead(image)) % 10 for image in pictures]
    assert np.mean(predicted == labels) > 0.95


def test_hands_have_uniform_angles(images):
    """For n uniform points on the circle, |mean|² · n exceeds 9 once in 8000 times."""
    for hand in np.array([hands(image) for image in images['train'][0]]).T:
        for power in (1, 2, 3):  # the fourth is that of the square face's corners
            assert len(hand) * np.abs(np.mean(hand**power)) ** 2 < 9


@pytest.fixture(scope='session')
def accuracy(images):
    """Function that trains on the train split and returns the accuracy on val."""

    @functools.cache
    def matrix(features, part, split):
        return np.array(
            [features(mask_except(image, part)) for image in images[split][0]]
        )

    def measure(classify, features, part):
        x, wanted = (matrix(features, part, split) for split in SPLITS)
        return np.mean(classify(x, images['train'][1], wanted) == images['val'][1])

    return measure


CLASSIFIERS = [
    (ridge, harmonics, 0.95),
    (neighbours, harmonics, 0.9),
    (neighbours, pixels, 0.5),
]


@pytest.mark.parametrize(('classify', 'features', 'least'), CLASSIFIERS)
def test_both_halves_determine_the_class(classify, features, least, accuracy):
    assert accuracy(classify, features, 'both') > least


@pytest.mark.parametrize('part', HALVES)
@pytest.mark.parametrize(('classify', 'features', 'least'), CLASSIFIERS)
def test_one_half_has_no_information_about_the_class(
    classify, features, least, part, accuracy
):
    """The accuracy is within the range of chance, p = 0.001 on each side."""
    low, high = binom.ppf([0.001, 0.999], 400, 1 / 10) / 400
    assert low <= accuracy(classify, features, part) <= high
