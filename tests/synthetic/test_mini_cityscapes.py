import json
import re
from pathlib import Path

import cv2
import numpy as np
import pytest

from glore_mm.synthetic.mini_cityscapes import main, write_mini_cityscapes
from glore_mm.utils.cityscapes_labels import LABEL_IDS, TRAIN_ID_OF_LABEL_ID

# Train id -> label id, written down from the official table of Cityscapes.
OFFICIAL = {
    0: 7, 1: 8, 2: 11, 3: 12, 4: 13, 5: 17, 6: 19, 7: 20, 8: 21, 9: 22, 10: 23,
    11: 24, 12: 25, 13: 26, 14: 27, 15: 28, 16: 31, 17: 32, 18: 33,
}  # fmt: skip
SPLITS = ('train', 'val')
SMALL = {'num_train': 2, 'num_val': 1, 'size': (48, 96)}
NAME = re.compile(
    r'(leftImg8bit|gtFine)/(train|val)/([a-z]+)/\3_\d{6}_\d{6}_'
    r'(leftImg8bit|gtFine_labelIds|gtFine_labelTrainIds)\.png'
)


def read(path):
    pixels = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    return pixels[..., ::-1] if pixels.ndim == 3 else pixels


def samples(root, split):
    """Image, label ids and train ids of every sample of a split."""
    for image in sorted(root.glob(f'leftImg8bit/{split}/*/*_leftImg8bit.png')):
        stem = image.name.removesuffix('_leftImg8bit.png')
        truth = root / 'gtFine' / split / image.parent.name / f'{stem}_gtFine_label'
        yield read(image), read(f'{truth}Ids.png'), read(f'{truth}TrainIds.png')


def contents(root):
    paths = (path for path in root.rglob('*') if path.is_file())
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in paths}


@pytest.fixture(scope='module')
def default(tmp_path_factory):
    root = write_mini_cityscapes(tmp_path_factory.mktemp('data') / 'mini')
    return {split: list(samples(root, split)) for split in SPLITS}


@pytest.fixture
def small(tmp_path):
    return write_mini_cityscapes(tmp_path / 'small', **SMALL)


def test_layout(small):
    names = set(contents(small)) - {'mini_cityscapes.json'}
    matches = [NAME.fullmatch(name) for name in names]
    assert all(matches), names
    found = sorted((m[1], m[2], m[4]) for m in matches)
    expected = []
    for split, count in (('train', 2), ('val', 1)):
        expected += [('leftImg8bit', split, 'leftImg8bit')] * count
        expected += [('gtFine', split, 'gtFine_labelIds')] * count
        expected += [('gtFine', split, 'gtFine_labelTrainIds')] * count
    assert found == sorted(expected)
    cities = {split: {m[3] for m in matches if m[2] == split} for split in SPLITS}
    assert cities == {'train': {'aachen', 'bochum'}, 'val': {'frankfurt'}}


def test_nothing_else_is_left_behind(small):
    assert [path.name for path in small.parent.iterdir()] == ['small']


def test_formats(small):
    for image, label_ids, train_ids in samples(small, 'train'):
        assert image.shape == (48, 96, 3)
        assert label_ids.shape == train_ids.shape == (48, 96)
        assert image.dtype == label_ids.dtype == train_ids.dtype == np.uint8


def test_table_is_the_official_one():
    assert list(LABEL_IDS.values()) == list(OFFICIAL.values())
    expected = np.full(256, 255)
    expected[list(OFFICIAL.values())] = list(OFFICIAL)
    np.testing.assert_array_equal(TRAIN_ID_OF_LABEL_ID, expected)
    assert TRAIN_ID_OF_LABEL_ID.dtype == np.uint8


@pytest.mark.parametrize('split', SPLITS)
def test_both_label_files_agree(default, split):
    pairs = np.zeros((256, 256), int)
    for _, label_ids, train_ids in default[split]:
        np.add.at(pairs, (train_ids[::2, ::2], label_ids[::2, ::2]), 1)
    found = {(int(a), int(b)) for a, b in np.argwhere(pairs)}
    assert found == set(OFFICIAL.items()) | {(255, 1), (255, 4)}


@pytest.mark.parametrize('split', SPLITS)
def test_all_classes_occur(default, split):
    pixels = sum(
        np.bincount(train_ids.ravel(), minlength=256)
        for *_, train_ids in default[split]
    )
    assert (pixels[:19] >= 300).all(), dict(zip(LABEL_IDS, pixels, strict=False))
    assert 0 < pixels[255] < 0.1 * pixels.sum()


def test_default_counts_and_size(default):
    for split, count in (('train', 48), ('val', 16)):
        shapes = [image.shape for image, *_ in default[split]]
        assert shapes == [(128, 256, 3)] * count


def test_streets_look_like_streets(default):
    rows = np.arange(128)[:, None]
    for image, labels, _ in default['train']:
        sky, road = labels == LABEL_IDS['sky'], labels == LABEL_IDS['road']
        assert (
            (rows * sky).sum() / sky.sum() < 50 < 75 < (rows * road).sum() / road.sum()
        )
        assert image[sky].mean() > image[road].mean() + 20


def test_channels_are_in_order(default):
    red, _, blue = 0, 1, 2
    images, label_ids, _ = (
        np.stack(maps) for maps in zip(*default['val'], strict=True)
    )
    sky = images[label_ids == LABEL_IDS['sky']].mean(0)
    terrain = images[label_ids == LABEL_IDS['terrain']].mean(0)
    assert terrain[red] > terrain[blue] + 20
    assert sky[blue] > sky[red]


def test_labels_lie_on_the_image(default):
    """Edges of the labels are edges of the image, unless labels are moved or mixed."""

    def contrast(image, labels):
        image, labels = image.astype(float), labels.astype(int)
        across = np.abs(np.diff(image, axis=1)).mean(-1)[np.diff(labels, axis=1) != 0]
        down = np.abs(np.diff(image, axis=0)).mean(-1)[np.diff(labels, axis=0) != 0]
        return across.mean() + down.mean()

    for k, (image, labels, _) in enumerate(default['val']):
        aligned = contrast(image, labels)
        for axis in (0, 1):
            for shift in (-1, 1):
                moved = np.roll(labels, shift, axis)
                assert aligned > 1.1 * contrast(image, moved)
        assert aligned > 1.5 * contrast(image, default['val'][k - 1][1])


def test_colour_alone_does_not_tell_the_class(default):
    images = [image[::3, ::3].reshape(-1, 3) for image, *_ in default['train']]
    truths = [train_ids[::3, ::3].ravel() for *_, train_ids in default['train']]
    pixels, truth = np.concatenate(images).astype(float), np.concatenate(truths)
    means = np.stack([pixels[truth == k].mean(0) for k in range(19)])
    nearest = np.stack([((pixels - mean) ** 2).sum(1) for mean in means]).argmin(0)
    recall = [(nearest[truth == k] == k).mean() for k in range(19)]
    assert np.mean(recall) < 0.3


def test_same_seed_gives_the_same_bytes(small, tmp_path):
    again = write_mini_cityscapes(tmp_path / 'again', **SMALL)
    assert contents(again) == contents(small)


def test_samples_do_not_depend_on_the_counts(small, tmp_path):
    larger = {**SMALL, 'num_train': 4, 'num_val': 3}
    larger = contents(write_mini_cityscapes(tmp_path / 'larger', **larger))
    shared = {k: v for k, v in contents(small).items() if k.endswith('.png')}
    assert len(shared) == 9
    assert {name: larger[name] for name in shared} == shared


def test_samples_and_seeds_differ(small, tmp_path):
    other = contents(write_mini_cityscapes(tmp_path / 'other', **SMALL, seed=1))
    first = contents(small)
    pngs = [name for name in first if name.endswith('.png')]
    assert all(first[name] != other[name] for name in pngs)
    assert len({first[name] for name in pngs}) == len(pngs)


def test_second_call_leaves_the_files_alone(small):
    before = {path: path.stat().st_mtime_ns for path in small.rglob('*')}
    assert write_mini_cityscapes(str(small), **SMALL) == small
    assert {path: path.stat().st_mtime_ns for path in small.rglob('*')} == before


def test_foreign_folder_is_refused(tmp_path):
    (tmp_path / 'thesis.tex').write_text('precious')
    with pytest.raises(FileExistsError, match='remove it, or write to another') as info:
        write_mini_cityscapes(tmp_path, **SMALL)
    assert str(tmp_path) in str(info.value)
    assert contents(tmp_path) == {'thesis.tex': b'precious'}


@pytest.mark.parametrize(
    'change', [{'seed': 1}, {'num_train': 3}, {'num_val': 2}, {'size': (48, 98)}]
)
def test_data_of_other_arguments_is_refused(small, change):
    before = contents(small)
    with pytest.raises(FileExistsError, match='data set of these arguments'):
        write_mini_cityscapes(small, **{**SMALL, **change})
    assert contents(small) == before


def test_incomplete_data_is_refused(small):
    next(small.rglob('*_labelIds.png')).unlink()
    with pytest.raises(FileExistsError, match='not the complete data set'):
        write_mini_cityscapes(small, **SMALL)


def test_failure_leaves_nothing(tmp_path, monkeypatch):
    calls = []

    def encode(*args):
        calls.append(args)
        if len(calls) == 4:
            raise OSError('disk full')
        return True, np.zeros(1, np.uint8)

    monkeypatch.setattr(cv2, 'imencode', encode)
    with pytest.raises(OSError, match='disk full'):
        write_mini_cityscapes(tmp_path / 'data', **SMALL)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ('wrong', 'message'),
    [
        ({'num_train': 0}, 'num_train must be an integer of 1 or more, got 0'),
        ({'num_val': 1.5}, 'num_val must be an integer of 1 or more, got 1.5'),
        ({'seed': -1}, 'seed must be an integer of 0 or more, got -1'),
        ({'seed': True}, 'seed must be an integer of 0 or more, got True'),
        ({'size': 128}, r'size must be \(height, width\) in pixels, got 128'),
        ({'size': (128, 256, 3)}, r'size must be \(height, width\) in pixels'),
        ({'size': (16, 256)}, 'height must be an integer of 32 or more, got 16'),
        ({'size': (128, '256')}, "width must be an integer of 32 or more, got '256'"),
    ],
)
def test_wrong_arguments(tmp_path, wrong, message):
    with pytest.raises(ValueError, match=message):
        write_mini_cityscapes(tmp_path / 'data', **{**SMALL, **wrong})
    assert list(tmp_path.iterdir()) == []


def test_command_line(small, tmp_path, capsys):
    root = tmp_path / 'deep' / 'cli'
    options = ['--num-train=2', '--num-val=1', '--size', '48', '96', '--seed=0']
    main([str(root), *options])
    assert Path(capsys.readouterr().out.strip()) == root
    assert contents(root) == contents(small)
    assert json.loads((root / 'mini_cityscapes.json').read_text())['seed'] == 0
    with pytest.raises(SystemExit):
        main([str(root), *options[:-1], '--seed=1'])
    assert 'exists and is not the complete data set' in capsys.readouterr().err
