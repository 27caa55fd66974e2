"""Images and masks of the user's own: splits, classes, values, errors."""

import shutil

import numpy as np
import pytest
from mmseg.registry import DATASETS, TRANSFORMS
from PIL import Image
from squares import write_squares

from glore_mm.utils.errors import UserError

CLASSES = ['ground', 'square']


@pytest.fixture
def flat(tmp_path):
    """Ten images and masks, not split: `images/p0.png` and `masks/p0.png`."""
    write_squares(tmp_path / 'split', count=5)
    for kind, folder in (('img', 'images'), ('ann', 'masks')):
        (tmp_path / folder).mkdir()
        for split in ('train', 'val'):
            for path in (tmp_path / 'split' / kind / split).iterdir():
                number = int(path.stem[1:]) + 5 * (split == 'val')
                shutil.move(path, tmp_path / folder / f'p{number}.png')
    shutil.rmtree(tmp_path / 'split')
    return tmp_path


def folders(root, split='train', classes=CLASSES, **kwargs):
    pipeline = [dict(type='LoadSegLabels')]
    return DATASETS.build(
        dict(
            type='ImageMaskFolders', data_root=str(root), split=split, classes=classes,
            pipeline=pipeline, **kwargs,
        )
    )  # fmt: skip


def names(dataset):
    return [sample['img_path'].rpartition('images/')[2] for sample in dataset]


def repaint(root, change):
    """Change the values of all masks."""
    for path in (root / 'masks').rglob('*.png'):
        Image.fromarray(change(np.array(Image.open(path)))).save(path)


def test_split_by_share(flat):
    train, val, test = (names(folders(flat, s)) for s in ('train', 'val', 'test'))
    assert (len(train), len(val)) == (8, 2)
    assert sorted(train + val) == [f'p{i}.png' for i in range(10)]
    assert train == sorted(train) and test == val
    assert names(folders(flat, 'val')) == val
    others = [names(folders(flat, 'val', split_seed=seed)) for seed in range(1, 6)]
    assert any(other != val for other in others)
    assert len(folders(flat, 'val', val_share=0.5)) == 5


def test_split_by_folder(flat):
    for folder in ('images', 'masks'):
        for split, numbers in (('train', range(7)), ('val', range(7, 10))):
            (flat / folder / split).mkdir()
            for i in numbers:
                shutil.move(flat / folder / f'p{i}.png', flat / folder / split)
    assert (len(folders(flat)), len(folders(flat, 'val'))) == (7, 3)
    for split in ('train', 'val'):
        (flat / split).mkdir()
        for folder in ('images', 'masks'):
            shutil.move(flat / folder / split, flat / split / folder)
    own = dict(images='{split}/images', masks='{split}/masks')
    assert (len(folders(flat, **own)), len(folders(flat, 'val', **own))) == (7, 3)


def test_split_by_list(flat):
    (flat / 'train.txt').write_text('p1\np3.png\nimages/p2.png\n')
    (flat / 'val.txt').write_text('p0\n')
    assert names(folders(flat)) == ['p1.png', 'p3.png', 'p2.png']
    assert names(folders(flat, 'val')) == ['p0.png']


def test_a_list_of_the_config_comes_first(flat):
    (flat / 'fold1.txt').write_text('p3\n')
    assert names(folders(flat, ann_file='fold1.txt')) == ['p3.png']  # no val_share
    (flat / 'train.txt').write_text('p0\np1\n')
    assert names(folders(flat, ann_file='fold1.txt')) == ['p3.png']


def test_folders_and_suffixes_of_other_names(flat):
    (flat / 'a').mkdir()
    for i in range(10):
        shutil.move(flat / 'images' / f'p{i}.png', flat / 'a' / f'p{i}_sat.png')
        shutil.move(flat / 'masks' / f'p{i}.png', flat / 'a' / f'p{i}_mask.png')
    own = dict(images='a', masks='a', img_suffix='_sat.png', seg_map_suffix='_mask.png')
    assert len(folders(flat, **own)) == 8


@pytest.mark.parametrize('place', ['', 'masks'])
def test_class_names_from_a_file(flat, place):
    (flat / place / 'classes.txt').write_text('ground\nsquare\n')
    assert folders(flat, classes=None).metainfo['classes'] == ('ground', 'square')
    (flat / 'names.txt').write_text('a\nb\n')
    assert folders(flat, classes='names.txt').metainfo['classes'] == ('a', 'b')


def test_classes_from_the_palette_of_the_masks(flat):
    with pytest.raises(UserError, match=r'p0.png has no palette. Give classes=a,b,c'):
        folders(flat, classes=None)
    for path in (flat / 'masks').iterdir():
        mask = Image.open(path)
        mask.putpalette([10, 20, 30, 255, 0, 128])
        mask.save(path)
    found = folders(flat, classes=None).metainfo
    assert found['classes'] == ('0 #0a141e', '1 #ff0080')
    assert found['palette'] == [[10, 20, 30], [255, 0, 128]]
    named = folders(flat).metainfo
    assert (named['classes'], named['palette']) == (
        ('ground', 'square'),
        found['palette'],
    )


@pytest.mark.parametrize('classes', [CLASSES, None])
def test_masks_with_different_palettes_are_an_error(classes, flat):
    """Programs that reduce the colours of each file make them."""
    for path in (flat / 'masks').iterdir():
        mask = Image.open(path)
        colors = [0, 0, 0, 255, 0, 0]
        mask.putpalette(colors if path.stem != 'p7' else colors[3:] + colors[:3])
        mask.save(path)
    with pytest.raises(UserError, match='p0.png and .*p7.png have different pal') as e:
        folders(flat, classes=classes)
    assert '0 is #000000 in the first and #ff0000 in the second' in str(e.value)
    named = folders(flat, palette=[[0, 0, 0], [255, 0, 0]])
    assert set(np.unique(named[0]['gt_seg_map'])) == {0, 1}


def test_palette_in_folders_of_splits(flat):
    """`<split>/images` and `<split>/masks`: the images are not masks."""
    for split, part in (('train', range(6)), ('val', range(6, 10))):
        for kind in ('images', 'masks'):
            (flat / split / kind).mkdir(parents=True)
            for number in part:
                source = flat / kind / f'p{number}.png'
                image = Image.open(source)
                if kind == 'masks':
                    image.putpalette([10, 20, 30, 255, 0, 128])
                image.save(flat / split / kind / source.name)
    for classes in (None, CLASSES):
        found = folders(
            flat, classes=classes, images='{split}/images', masks='{split}/masks'
        )
        assert len(found) == 6
        assert found.metainfo['palette'] == [[10, 20, 30], [255, 0, 128]]
    (flat / 'masks/classes.txt').write_text('a\nb\n')
    for split in ('train', 'val'):
        (flat / split / 'masks').rename(flat / 'masks' / split)
    shutil.rmtree(flat / 'images')
    for split in ('train', 'val'):
        shutil.move(flat / split / 'images', flat / 'images' / split)
    found = folders(flat, classes=None, masks='masks/{split}', images='images/{split}')
    assert found.metainfo['classes'] == ('a', 'b')


@pytest.mark.parametrize(
    'options', [dict(reduce_zero_label=True), dict(values=[1, 2])], ids=str
)
def test_palette_of_masks_whose_classes_begin_at_1(flat, options):
    for path in (flat / 'masks').iterdir():
        mask = Image.fromarray(np.array(Image.open(path)) + np.uint8(1), 'P')
        mask.putpalette([0, 0, 0, 10, 20, 30, 255, 0, 128])
        mask.save(path)
    colors = [[10, 20, 30], [255, 0, 128]]
    for classes, names in ((CLASSES, CLASSES), (None, ['1 #0a141e', '2 #ff0080'])):
        found = folders(flat, classes=classes, **options).metainfo
        assert [*found['classes']] == names and found['palette'] == colors


@pytest.mark.parametrize('value', [1, 7, 255])
def test_binary_masks(flat, value):
    repaint(flat, lambda mask: mask * np.uint8(value))
    dataset = folders(flat, classes=None, binary='softmax')
    assert dataset.metainfo['classes'] == ('background', 'foreground')
    assert set(np.unique(dataset[0]['gt_seg_map'])) == {0, 1}
    assert (dataset[0]['gt_seg_map'] == 1).sum() == 24 * 24
    theirs = TRANSFORMS.build(dict(type='LoadAnnotations'))
    loaded = theirs(dataset.get_data_info(0))['gt_seg_map']
    np.testing.assert_array_equal(loaded, dataset[0]['gt_seg_map'])


def test_values_of_16_bits(flat):
    repaint(flat, lambda mask: mask.astype(np.uint16) * 65535)
    masks = folders(flat, binary='softmax')[0]['gt_seg_map']
    assert set(np.unique(masks)) == {0, 1} and masks.sum() == 24 * 24
    dataset = folders(flat, values=[0, 65535])
    assert dataset.data_bytes.nbytes < 10_000 * len(dataset)
    masks = dataset[0]['gt_seg_map']
    assert set(np.unique(masks)) == {0, 1} and masks.sum() == 24 * 24
    with pytest.raises(UserError, match=r'value\(s\) 65535; the classes are 0, 300'):
        folders(flat, values=[0, 300])[0]


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (dict(values=[1, 2], binary='softmax'), 'only one of them can be given'),
        (dict(values=[1, 2], reduce_zero_label=True), 'only one of them can be given'),
        (dict(binary='sigmoid', reduce_zero_label=True), 'only one of them can be'),
        (dict(values='1,2'), "values='1,2': expected a list of the value of each"),
        (dict(values=[]), 'expected a list of the value of each class'),
        (dict(values=[3, 3]), 'different integers from 0 to 65535'),
        (dict(values=[-1, 3]), 'different integers from 0 to 65535'),
        (dict(values=[0, 1, 2]), r'values has 3 numbers, but there are 2 cl'),
        (dict(values=[1]), 'values has 1 numbers, but there are 2'),
    ],
)
def test_wrong_values(flat, options, message):
    with pytest.raises(UserError, match=message):
        folders(flat, **options)


def test_values_of_the_classes(flat):
    repaint(flat, lambda mask: np.where(mask, 200, 255).astype(np.uint8))
    masks = [sample['gt_seg_map'] for sample in folders(flat, values=[100, 200])]
    assert set(np.unique(masks)) == {1, 255}
    masks = [sample['gt_seg_map'] for sample in folders(flat, values=[255, 200])]
    assert set(np.unique(masks)) == {0, 1}
    with pytest.raises(
        UserError,
        match=r'has the label value\(s\) 200; the classes are 1, 100, and 255 is ign',
    ):
        folders(flat, values=[1, 100])[0]


def test_reduce_zero_label(flat):
    dataset = folders(flat, classes=['square'], reduce_zero_label=True)
    assert set(np.unique(dataset[0]['gt_seg_map'])) == {0, 255}
    repaint(flat, lambda mask: mask * np.uint8(3))
    with pytest.raises(UserError, match=r'value\(s\) 3; the classes are 1, and 0, 255'):
        dataset[0]


@pytest.mark.parametrize(
    ('damage', 'message'),
    [
        (lambda root: (root / 'masks/p3.png').unlink(),
         r'1 image\(s\) have no label map, the first: .*images/p3.png \(expected .*ma'),
        (lambda root: (root / 'images/p3.png').unlink(),
         r'1 label map\(s\) have no image, the first: .*masks/p3.png \(expected .*i'),
        (lambda root: shutil.copy(root / 'images/p3.png', root / 'images/p3.bmp'),
         r'images/p3.bmp and .*images/p3.png have the same name, except for the'),
        (lambda root: shutil.copy(root / 'masks/p3.png', root / 'masks/p3.tif'),
         r'masks/p3.png and .*masks/p3.tif have the same name, except for the'),
        (lambda root: shutil.rmtree(root / 'images'),
         r'no data set at .*/images. Put it there, .* has: masks. docs/own_data.md'),
        (lambda root: [p.unlink() for p in (root / 'images').glob('p[1-9]*')]
         + [p.unlink() for p in (root / 'masks').glob('p[1-9]*')],
         r'has 1 sample\(s\), of which val_share=0.2 holds out 1: a split is empty'),
    ],
)  # fmt: skip
def test_errors(flat, damage, message):
    damage(flat)
    with pytest.raises(UserError, match=message):
        folders(flat)
