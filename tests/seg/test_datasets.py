"""Segmentation data sets: pairs of images and label maps, and errors."""

import shutil

import numpy as np
import pytest
from mmseg.registry import DATASETS
from PIL import Image
from street_data import PIPELINE, cityscapes, first, save

from glore_mm.utils.errors import UserError


def camvid(root, split, **kwargs):
    return DATASETS.build(
        dict(
            type='CamVid', data_root=str(root), split=split, pipeline=PIPELINE, **kwargs
        )
    )


def test_cityscapes_needs_no_preparation(data):
    """Without labelTrainIds files, the labelIds files give the same labels."""
    prepared = [sample['gt_seg_map'] for sample in cityscapes(data)]
    assert len(prepared) == 4
    assert len(np.unique(prepared)) > 8
    for path in data.rglob('*_labelTrainIds.png'):
        path.unlink()
    unzipped = [sample['gt_seg_map'] for sample in cityscapes(data)]
    np.testing.assert_array_equal(unzipped, prepared)


def test_cityscapes_jpeg(data):
    for path in list(data.rglob('*_leftImg8bit.png')):
        Image.open(path).save(path.with_suffix('.jpg'))
        path.unlink()
    assert [s['img_path'][-4:] for s in cityscapes(data)] == ['.jpg'] * 4


@pytest.mark.parametrize('prepared', [True, False])
def test_some_of_the_classes(data, prepared):
    whole = cityscapes(data)[0]['gt_seg_map']
    if not prepared:
        for path in data.rglob('*_labelTrainIds.png'):
            path.unlink()
    some = cityscapes(data, metainfo=dict(classes=('sky', 'road')))[0]['gt_seg_map']
    np.testing.assert_array_equal(some == 0, whole == 10)
    np.testing.assert_array_equal(some == 1, whole == 0)
    assert set(np.unique(some)) <= {0, 1, 255}


def test_camvid_in_both_layouts(tmp_path):
    """Train ids and label ids of Cityscapes become the classes of SegNet."""
    # sky building pole road sidewalk vegetation sign fence car person rider, void, bus
    train_ids = np.array([[10, 2, 5, 0, 1, 8, 7, 4, 13, 11, 12, 255, 15]], np.uint8)
    label_ids = np.array([[23, 11, 17, 7, 8, 21, 20, 13, 26, 24, 25, 0, 28]], np.uint8)
    expected = np.array([[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 255, 255]])
    image = np.zeros((1, 13, 3), np.uint8)

    segnet = tmp_path / 'segnet'
    save(segnet / 'test' / 'a.png', image)
    labels = np.where(expected == 255, 11, expected).astype(np.uint8)
    save(segnet / 'testannot' / 'a.png', labels)
    np.testing.assert_array_equal(camvid(segnet, 'test')[0]['gt_seg_map'], expected)

    for name, values in (('labelTrainIds', train_ids), ('labelIds', label_ids)):
        root = tmp_path / name
        save(root / 'leftImg8bit/val/camvid/a_leftImg8bit.jpg', image)
        save(root / f'gtFine/val/camvid/a_gtFine_{name}.png', values)
        dataset = camvid(root, 'test')  # named val there
        np.testing.assert_array_equal(dataset[0]['gt_seg_map'], expected)
    assert len(dataset.metainfo['classes']) == len(dataset.metainfo['palette']) == 11


def test_voc_reads_the_images_in_its_list(tmp_path):
    for name in ('a', 'b', 'c'):
        save(tmp_path / 'JPEGImages' / f'{name}.jpg', np.zeros((4, 4, 3), np.uint8))
        save(tmp_path / 'Labels' / f'{name}.png', np.full((4, 4), 20, np.uint8))
    (tmp_path / 'train.txt').write_text('c\r\na\n\n')
    cfg = dict(
        type='PascalVOC',
        data_root=str(tmp_path),
        data_prefix=dict(img_path='JPEGImages', seg_map_path='Labels'),
        ann_file='train.txt',
        pipeline=PIPELINE,
    )
    assert [s['img_path'][-5] for s in DATASETS.build(cfg)] == ['c', 'a']
    (tmp_path / 'train.txt').write_text('a\nz\n')
    with pytest.raises(
        UserError, match=r"1 image\(s\) of .*train.txt are not in .* in line 2: 'z'"
    ):
        DATASETS.build(cfg)
    (tmp_path / 'stranger.jpg').write_bytes(
        (tmp_path / 'JPEGImages/a.jpg').read_bytes()
    )
    for key in ('../stranger', f'{tmp_path}/stranger', f'{tmp_path}/JPEGImages/a'):
        (tmp_path / 'train.txt').write_text(f'a\n{key}\n')
        with pytest.raises(UserError, match=f"are not in .* in line 2: '{key}'"):
            DATASETS.build(cfg)
    (tmp_path / 'train.txt').write_bytes('é'.encode('latin1'))
    with pytest.raises(UserError, match='train.txt, the list of images, is not UTF-8'):
        DATASETS.build(cfg)
    with pytest.raises(UserError, match='no list of images at .*nothing.txt'):
        DATASETS.build(dict(cfg, ann_file='nothing.txt'))


def test_missing_partners(data):
    labels = first(data, '*_labelTrainIds.png')
    kept = labels.with_name('kept')
    labels.rename(kept)
    ids = first(data, '*_labelIds.png')
    ids.unlink()
    image = first(data / 'leftImg8bit', '*.png')
    with pytest.raises(UserError) as error:
        cityscapes(data)
    assert '1 image(s) have no label map' in str(error.value)
    assert str(image) in str(error.value)
    assert str(labels) in str(error.value)

    kept.rename(labels)
    image.unlink()
    with pytest.raises(UserError) as error:
        cityscapes(data)
    assert '1 label map(s) have no image' in str(error.value)
    assert str(labels) in str(error.value)
    assert str(image) in str(error.value)


def test_missing_and_empty_folders(data, tmp_path):
    with pytest.raises(UserError, match='no data set at .*nowhere/leftImg8bit/train'):
        cityscapes(tmp_path / 'nowhere')
    shutil.rmtree(data / 'leftImg8bit' / 'val')
    (data / 'leftImg8bit' / 'val').mkdir()
    with pytest.raises(UserError, match='the split is empty: no images in .*val'):
        cityscapes(data, 'val')


@pytest.mark.parametrize('damage', [lambda b: b[: len(b) // 2], lambda b: b'no image'])
@pytest.mark.parametrize('suffix', ['.png', '.jpg'])
def test_unreadable_image(data, damage, suffix):
    path = first(data / 'leftImg8bit', '*.png')
    image = Image.open(path)
    path.unlink()
    path = path.with_suffix(suffix)
    image.save(path)
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(UserError, match='cannot be read as an image') as error:
        cityscapes(data)[0]
    assert str(path) in str(error.value)
