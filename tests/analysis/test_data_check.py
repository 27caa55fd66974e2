"""Checks of data sets before training."""

import numpy as np
import pytest
from mmengine.registry import init_default_scope
from mmpretrain.registry import DATASETS as CLS_DATASETS
from mmseg.registry import DATASETS
from PIL import Image
from squares import write_squares

import glore_mm.cls
import glore_mm.engine.class_balance  # noqa: F401  (each registers)
from glore_mm.analysis.data_check import check_data
from glore_mm.seg import ImageMaskDataset
from glore_mm.utils.errors import UserError

PIPELINE = [dict(type='LoadImage'), dict(type='LoadSegLabels')]
MEAN, STD = [123.7, 116.3, 103.5], [58.4, 57.1, 57.4]


@pytest.fixture
def root(tmp_path):
    init_default_scope('mmseg')
    DATASETS.register_module(module=ImageMaskDataset, force=True)
    return write_squares(tmp_path / 'data')


def config(root, split, classes=('ground', 'square')):
    return dict(
        type='ImageMaskDataset',
        data_root=str(root),
        data_prefix=dict(img_path=f'img/{split}', seg_map_path=f'ann/{split}'),
        metainfo=dict(classes=classes),
        pipeline=PIPELINE,
    )


def check(root, classes=('ground', 'square'), splits=('train', 'val')):
    datasets = {
        loop: DATASETS.build(config(root, split, classes))
        for loop, split in zip(('train', 'val'), splits, strict=True)
    }
    return check_data(datasets, MEAN, STD)


def change_masks(root, change):
    for path in root.glob('ann/train/*'):
        Image.fromarray(change(np.array(Image.open(path)))).save(path)


def test_correct_data_gives_no_warning(root):
    assert check(root) == []


def test_masks_of_0_and_255(root):
    change_masks(root, lambda mask: mask * 255)
    assert check(root) == [
        'train: none of the 4 label maps that were read, of 4, has square; 19% of '
        'their pixels are 255, which is ignored: if 255 is a class, '
        'tools/masks_to_indices.py converts them'
    ]


@pytest.mark.parametrize(
    'wrapper',
    [
        lambda cfg: dict(type='RepeatDataset', dataset=cfg, times=2),
        lambda cfg: dict(type='ConcatDataset', datasets=[cfg, cfg]),
        lambda cfg: dict(type='MultiImageMixDataset', dataset=cfg, pipeline=[]),
        lambda cfg: dict(type='LabelBalancedDataset', dataset=cfg, oversample_thr=0.9),
    ],
)
def test_wrapped_data_sets(root, wrapper):
    change_masks(root, lambda mask: mask * 255)
    dataset = DATASETS.build(wrapper(config(root, 'train')))
    (line,) = check_data(dict(train=dataset), MEAN, STD)
    assert ' has square; 19% of their pixels are 255' in line


def test_an_ignored_border_gives_no_warning(root):
    def with_border(mask):
        mask[:2] = 255
        return mask

    change_masks(root, with_border)
    assert check(root) == []


def test_completely_ignored_masks(root):
    change_masks(root, lambda mask: np.full_like(mask, 255))
    (line,) = check(root)
    assert 'has ground, square; 100% of their pixels are 255' in line


def test_the_same_files_in_both_splits(root):
    lines = check(root, splits=('train', 'train'))
    assert lines == [
        f'4 file(s) of val are also in train, the first: {root}/img/train/p0.png is '
        f'{root}/img/train/p0.png'
    ]


def test_identical_images_with_another_range(root):
    for path in root.glob('img/train/*'):
        Image.new('RGB', (64, 48), (1, 1, 1)).save(path)
    same, far = check(root)
    assert same == 'train: the 4 images that were read are all the same'
    assert far == (
        'train: the images have mean 1, 1, 1 and std 0, 0, 0; data_preprocessor '
        'expects mean 123.7, 116.3, 103.5 and std 58.4, 57.1, 57.4'
    )


def test_grey_images_of_different_widths(root):
    part = config(root, 'train')
    part['pipeline'] = [dict(type='LoadImageFromFile', color_type='grayscale')]
    for number, path in enumerate(sorted(root.glob('img/train/*'))):
        Image.new('L', (64 + number, 48), number).save(path)
    (line,) = check_data(dict(train=DATASETS.build(part)), [123.7], [58.4])
    assert line.startswith('train: the images have mean 1.5 and std 1.118')


@pytest.mark.parametrize('split', ['train', 'val'])
def test_a_damaged_file_is_an_error_as_in_training(root, split):
    (root / 'img' / split / 'p1.png').write_bytes(b'bad')
    with pytest.raises(UserError, match='p1.png: cannot be read as an image'):
        check(root)


def test_a_damaged_file_that_training_skips_is_reported(tmp_path):
    for name in ('a/0.png', 'a/1.png', 'b/2.png', 'b/3.png'):
        path = tmp_path / 'train' / name
        path.parent.mkdir(exist_ok=True, parents=True)
        Image.effect_noise((32, 32), 50).save(path)
    (tmp_path / 'train/a/1.png').write_bytes(b'bad')
    cfg = dict(type='ClassFolders', data_root=str(tmp_path), split='train')
    init_default_scope('mmpretrain')
    dataset = CLS_DATASETS.build(dict(cfg, pipeline=[dict(type='LoadImage')]))
    (line,) = check_data(dict(train=dataset))
    assert line.startswith('train: 1 file(s) cannot be read: ')
    assert '1.png: cannot be read as an image' in line


def test_a_single_class(root):
    change_masks(root, lambda mask: mask * 0)
    (root / 'ann' / 'val').rename(root / 'ann' / 'unused')
    (root / 'ann' / 'val').symlink_to(root / 'ann' / 'train')
    (root / 'img' / 'val').rename(root / 'img' / 'unused')
    (root / 'img' / 'val').symlink_to(root / 'img' / 'train')
    lines = check(root, classes=('ground',))
    assert lines[0] == 'train: a single class, ground: nothing to learn'


def test_names_that_are_likely_mistakes(root):
    lines = check(root, classes=('ground', 'Ground ', 'square', 'ground|square'))
    assert [line for line in lines if 'classes that' in line] == [
        f'{loop}: classes that {text}'
        for loop in ('train', 'val')
        for text in (
            "differ only in spaces or capitals: 'ground', 'Ground '",
            'are several others: ground|square. Are these samples with more than one '
            'label?',
        )
    ]


def test_parts_of_a_cross_validation(tmp_path):
    for name in ('a/0.png', 'a/1.png', 'b/2.png', 'b/3.png'):
        path = tmp_path / 'train' / name
        path.parent.mkdir(exist_ok=True, parents=True)
        Image.effect_noise((32, 32), 50).save(path)
    init_default_scope('mmpretrain')
    pipeline = [dict(type='LoadImage')]
    part = dict(
        type='ClassFolders', data_root=str(tmp_path), split='train', pipeline=pipeline
    )
    folds = dict(type='KFoldDataset', dataset=part, num_splits=2, seed=0)
    parts = {
        loop: CLS_DATASETS.build(dict(folds, test_mode=loop == 'val'))
        for loop in ('train', 'val')
    }
    assert check_data(parts) == []
