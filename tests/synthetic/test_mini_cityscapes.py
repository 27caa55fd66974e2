import cv2
import numpy as np
import pytest
from paths import contents

from glore_mm.synthetic.mini_cityscapes import main, write_mini_cityscapes
from glore_mm.synthetic.street_scenes import draw_street
from glore_mm.utils.cityscapes_labels import LABEL_IDS, TRAIN_ID_OF_LABEL_ID

# Train id -> label id, from the official table of Cityscapes.
OFFICIAL = {
    0: 7, 1: 8, 2: 11, 3: 12, 4: 13, 5: 17, 6: 19, 7: 20, 8: 21, 9: 22, 10: 23,
    11: 24, 12: 25, 13: 26, 14: 27, 15: 28, 16: 31, 17: 32, 18: 33,
}  # fmt: skip
SMALL = {'num_train': 2, 'num_val': 1, 'size': (48, 96)}
STEMS = ('train/aachen/aachen', 'train/bochum/bochum', 'val/frankfurt/frankfurt')


def samples(root, split):
    """Images, label ids and train ids of a split."""
    kinds = []
    for ending in ('leftImg8bit', 'gtFine_labelIds', 'gtFine_labelTrainIds'):
        paths = sorted(map(str, root.glob(f'*/{split}/*/*_{ending}.png')))
        kinds.append(
            np.stack([cv2.imread(path, cv2.IMREAD_UNCHANGED) for path in paths])
        )
    return kinds[0][..., ::-1], *kinds[1:]


@pytest.fixture(scope='session')
def default(tmp_path_factory):
    root = write_mini_cityscapes(tmp_path_factory.mktemp('data') / 'mini')
    return {split: samples(root, split) for split in ('train', 'val')}


@pytest.fixture
def small(tmp_path):
    return write_mini_cityscapes(tmp_path / 'small', **SMALL)


def test_layout(small):
    assert [path.name for path in small.parent.iterdir()] == ['small']
    expected = {'mini_cityscapes.json'}
    for stem in STEMS:
        expected.add(f'leftImg8bit/{stem}_000000_000019_leftImg8bit.png')
        for kind in ('labelIds', 'labelTrainIds'):
            expected.add(f'gtFine/{stem}_000000_000019_gtFine_{kind}.png')
    assert set(contents(small)) == expected
    images, *label_maps = samples(small, 'train')
    assert images.shape == (2, 48, 96, 3) and images.dtype == np.uint8
    assert all(m.shape == (2, 48, 96) and m.dtype == np.uint8 for m in label_maps)


def test_label_ids_are_the_official_ones():
    assert list(LABEL_IDS.values()) == list(OFFICIAL.values())
    expected = np.full(256, 255)
    expected[list(OFFICIAL.values())] = list(OFFICIAL)
    np.testing.assert_array_equal(TRAIN_ID_OF_LABEL_ID, expected)
    assert TRAIN_ID_OF_LABEL_ID.dtype == np.uint8


@pytest.mark.parametrize(('split', 'count'), [('train', 48), ('val', 16)])
def test_default(default, split, count):
    images, label_ids, train_ids = default[split]
    assert images.shape == (count, 128, 256, 3)
    np.testing.assert_array_equal(train_ids, TRAIN_ID_OF_LABEL_ID[label_ids])
    pixels = np.bincount(train_ids.ravel(), minlength=256)
    assert (pixels[:19] >= 300).all(), pixels[:19]
    assert 0 < pixels[255] < 0.1 * pixels.sum()


def test_streets_look_like_streets(default):
    """The sky is above the road, bright and, with channels in order, blue."""
    images, label_ids, _ = default['train']
    sky, road = label_ids == LABEL_IDS['sky'], label_ids == LABEL_IDS['road']
    assert np.nonzero(sky)[1].mean() < 50 < 75 < np.nonzero(road)[1].mean()
    assert images[sky].mean() > images[road].mean() + 20
    assert images[sky][:, 2].mean() > images[sky][:, 0].mean() + 10


def test_labels_match_the_image(default):
    """Edges of labels are edges of the image, but not after a shift."""
    images, label_ids, _ = (maps.astype(float) for maps in default['val'])

    def contrast(axis, shift):
        edges = np.diff(np.roll(label_ids, shift, axis), axis=axis) != 0
        return np.abs(np.diff(images, axis=axis))[edges].mean()

    for axis in (1, 2):
        assert contrast(axis, 0) > 1.1 * max(contrast(axis, -1), contrast(axis, 1))


@pytest.mark.parametrize('size', [(32, 32), (33, 400), (400, 32), (1024, 2048)])
def test_any_size(size):
    for i in range(7):
        image, labels = draw_street(np.random.default_rng(i), i, size)
        assert image.shape == (*size, 3) and labels.shape == size
        assert LABEL_IDS['road'] in labels


def test_the_arguments_determine_the_data(small, tmp_path):
    first = contents(small)
    assert contents(write_mini_cityscapes(tmp_path / 'again', **SMALL)) == first
    other = contents(write_mini_cityscapes(tmp_path / 'other', **SMALL, seed=1))
    more = {**SMALL, 'num_train': 4, 'num_val': 3}
    larger = contents(write_mini_cityscapes(tmp_path / 'larger', **more))
    pictures = [name for name in first if name.endswith('.png')]
    assert len({first[name] for name in pictures}) == len(pictures) == 9
    assert all(first[name] == larger[name] != other[name] for name in pictures)


def test_an_existing_other_folder_is_an_error(tmp_path):
    (tmp_path / 'thesis.tex').write_text('precious')
    with pytest.raises(FileExistsError, match='remove it, or write to another'):
        write_mini_cityscapes(tmp_path, **SMALL)
    assert contents(tmp_path) == {'thesis.tex': b'precious'}


def test_existing_data_are_kept(small):
    before = {path: path.stat().st_mtime_ns for path in small.rglob('*')}
    assert write_mini_cityscapes(str(small), **SMALL) == small
    for change in ({'seed': 1}, {'num_train': 3}, {'num_val': 2}, {'size': (48, 98)}):
        with pytest.raises(FileExistsError, match='data set of these arguments'):
            write_mini_cityscapes(small, **{**SMALL, **change})
    assert {path: path.stat().st_mtime_ns for path in small.rglob('*')} == before
    next(small.rglob('*_labelIds.png')).unlink()
    with pytest.raises(FileExistsError, match='not the complete data set'):
        write_mini_cityscapes(small, **SMALL)


def test_a_failure_leaves_no_files(tmp_path, monkeypatch):
    written = iter([(True, np.zeros(1, np.uint8))] * 3)  # then StopIteration
    monkeypatch.setattr(cv2, 'imencode', lambda *_: next(written))
    with pytest.raises(StopIteration):
        write_mini_cityscapes(tmp_path / 'data', **SMALL)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ('wrong', 'message'),
    [
        ({'num_train': 0}, 'num_train must be an integer of 1 or more, got 0'),
        ({'num_val': 1.5}, 'num_val must be an integer of 1 or more, got 1.5'),
        ({'seed': True}, 'seed must be an integer of 0 or more, got True'),
        ({'size': 128}, r'size must be \(height, width\) in pixels, got 128'),
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
    assert capsys.readouterr().out.strip() == str(root)
    assert contents(root) == contents(small)
    with pytest.raises(SystemExit):
        main([str(root), *options[:-1], '--seed=1'])
    assert 'exists and is not the complete data set' in capsys.readouterr().err
