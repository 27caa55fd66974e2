"""The segmentation package: data sets, loading, the head, what a test writes."""

import shutil

import numpy as np
import pytest
import torch
from mmengine.config import ConfigDict
from mmengine.registry import init_default_scope
from mmengine.structures import PixelData
from mmseg.evaluation import IoUMetric
from mmseg.registry import DATASETS, MODELS
from mmseg.structures import SegDataSample
from PIL import Image

import glore_mm.seg
from glore_mm.analysis import class_iou
from glore_mm.errors import UserError
from glore_mm.seg.pictures import colorize, overlay, panels

PIPELINE = [
    dict(type='LoadImageFromFile', imdecode_backend='pillow'),
    dict(type='LoadLabels'),
]


@pytest.fixture(autouse=True)
def scope():
    init_default_scope('mmseg')


def cityscapes(root, split='train', **kwargs):
    return DATASETS.build(
        dict(
            type='CityscapesFolders',
            data_root=str(root),
            data_prefix=dict(
                img_path=f'leftImg8bit/{split}', seg_map_path=f'gtFine/{split}'
            ),
            pipeline=PIPELINE,
            **kwargs,
        )
    )


def camvid(root, split, **kwargs):
    return DATASETS.build(
        dict(
            type='CamVid', data_root=str(root), split=split, pipeline=PIPELINE, **kwargs
        )
    )


def save(path, array):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path)


def first(root, pattern):
    return sorted(root.rglob(pattern))[0]


# ------------------------------------------------------------------- data sets


def test_cityscapes_as_unzipped_is_cityscapes_prepared(data):
    """Without labelTrainIds files the labelIds give the same labels."""
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
    """Cityscapes' train ids and label ids arrive as the classes of SegNet."""
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
        dataset = camvid(root, 'test')  # called val there
        np.testing.assert_array_equal(dataset[0]['gt_seg_map'], expected)
    assert len(dataset.metainfo['classes']) == len(dataset.metainfo['palette']) == 11


def test_voc_reads_the_images_of_its_list(tmp_path):
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


@pytest.mark.parametrize('reduce_zero_label', [False, True])
def test_labels_are_those_of_mmseg(tmp_path, reduce_zero_label):
    save(tmp_path / 'i' / 'a.jpg', np.zeros((2, 2, 3), np.uint8))
    save(tmp_path / 'l' / 'a.png', np.array([[0, 1], [2, 255]], np.uint8))
    (tmp_path / 'list.txt').write_text('a\n')
    found = [
        DATASETS.build(
            dict(
                type='PascalVOC',
                data_root=str(tmp_path),
                data_prefix=dict(img_path='i', seg_map_path='l'),
                ann_file='list.txt',
                reduce_zero_label=reduce_zero_label,
                pipeline=[PIPELINE[0], dict(type=loading)],
            )
        )[0]['gt_seg_map']
        for loading in ('LoadLabels', 'LoadAnnotations')
    ]
    np.testing.assert_array_equal(*found)
    assert found[0].dtype == np.uint8


def test_binary_label_maps(tmp_path):
    """1-bit PNGs, as masks of one thing are often stored."""
    save(tmp_path / 'i' / 'a.jpg', np.zeros((2, 3, 3), np.uint8))
    mask = np.array([[True, False, False], [False, True, True]])
    save(tmp_path / 'l' / 'a.png', mask)
    assert Image.open(tmp_path / 'l' / 'a.png').mode == '1'
    (tmp_path / 'list.txt').write_text('a\n')
    dataset = DATASETS.build(
        dict(
            type='PascalVOC',
            data_root=str(tmp_path),
            data_prefix=dict(img_path='i', seg_map_path='l'),
            ann_file='list.txt',
            pipeline=PIPELINE,
        )
    )
    np.testing.assert_array_equal(dataset[0]['gt_seg_map'], mask.astype(np.uint8))


def test_wrong_label_maps(data):
    path = first(data, '*_labelTrainIds.png')
    labels = np.array(Image.open(path))
    labels[3, 4], labels[5, 6] = 19, 40
    save(path, labels)
    with pytest.raises(
        UserError, match=r'value\(s\) 19, 40; the classes are 0 to 18'
    ) as e:
        cityscapes(data)[0]
    assert str(path) in str(e.value)
    save(path, np.full((48, 96), 300, np.uint16))
    with pytest.raises(UserError, match=r'value\(s\) 300; the classes are 0 to'):
        cityscapes(data)[0]
    save(path, np.zeros((96, 48), np.uint8))
    with pytest.raises(
        UserError, match='has 48×96 pixels, but its image .* 96×48'
    ) as e:
        cityscapes(data)[0]
    assert str(path) in str(e.value)
    Image.fromarray(np.full((48, 96), 0.5, np.float32)).save(path, 'TIFF')
    with pytest.raises(UserError, match='holds floating-point numbers; exp') as e:
        cityscapes(data)[0]
    assert str(path) in str(e.value)
    save(path, np.zeros((48, 96, 3), np.uint8))
    with pytest.raises(UserError, match='is a colour picture') as e:
        cityscapes(data)[0]
    assert str(path) in str(e.value)
    path.write_bytes(path.read_bytes()[:60])
    with pytest.raises(UserError, match='cannot be read as a label map') as e:
        cityscapes(data)[0]
    assert str(path) in str(e.value)


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


# -------------------------------------------------------------------- the head


def head(kind, **kwargs):
    return MODELS.build(
        ConfigDict(
            type=kind,
            in_channels=32,
            channels=16,
            num_classes=5,
            concat_input=False,
            norm_cfg=dict(type='BN'),
            **kwargs,
        )
    )


@pytest.mark.parametrize('num_units', [0, 1, 2])
def test_fresh_head_is_fcn(num_units):
    """FCNHead's weights load into it, and it computes the same until it has learned."""
    fcn, glore = head('FCNHead'), head('GloReHead', num_units=num_units)
    missing, unexpected = glore.load_state_dict(fcn.state_dict(), strict=False)
    assert not unexpected
    assert {key.split('.')[0] for key in missing} == ({'units'} if num_units else set())
    x = [torch.randn(2, 32, 9, 9)]
    assert torch.equal(glore.eval()(x), fcn.eval()(x))
    if num_units:
        unit = glore.units[0]
        assert (unit.num_states, unit.num_nodes, unit.normalize) == (128, 64, True)
        torch.nn.init.ones_(unit.blocker.weight)
        assert not torch.equal(glore(x), fcn(x))


def test_head_takes_the_config_of_an_fcn_head():
    """Mmseg's own, which names num_convs and has concat_input."""
    with pytest.raises(ValueError, match='between 2 convolutions, got num_convs=1'):
        head('GloReHead', num_convs=1)
    glore = MODELS.build(
        dict(
            type='GloReHead',
            in_channels=32,
            channels=16,
            num_convs=2,
            num_classes=5,
            concat_input=True,
            norm_cfg=dict(type='BN'),
        )
    )
    assert glore([torch.randn(2, 32, 9, 9)]).shape == (2, 5, 9, 9)


# ------------------------------------------------------------ what a test writes


def samples(n=3, classes=19):
    generator = torch.Generator().manual_seed(0)
    for index in range(n):
        truth = torch.randint(0, classes, (1, 8, 9), generator=generator)
        predicted = torch.where(
            torch.rand(1, 8, 9, generator=generator) < 0.5, truth, truth.flip(1)
        )
        truth[0, 0, index] = 255
        yield SegDataSample(
            metainfo=dict(img_path=f'city/image{index}.png'),
            gt_sem_seg=PixelData(data=truth),
            pred_sem_seg=PixelData(data=predicted),
        ).to_dict()


META = glore_mm.seg.CityscapesFolders.METAINFO


def test_confusion_matrices_add_up_to_the_miou_of_mmseg(tmp_path):
    path = tmp_path / 'new' / 'dump.npz'
    dump = glore_mm.seg.PerImageConfusion(str(path))
    reference = IoUMetric()
    for metric in (dump, reference):
        metric.dataset_meta = META
        metric.process({}, list(samples()))
    assert dump.evaluate(3) == {}
    expected = reference.evaluate(3)['mIoU']
    with np.load(path) as arrays:  # plain arrays: no allow_pickle
        assert arrays['names'].tolist() == [f'city/image{i}.png' for i in range(3)]
        assert arrays['classes'].tolist() == list(META['classes'])
        confusion = arrays['confusion']
    assert confusion.shape == (3, 19, 19)
    assert confusion.sum() == 3 * (8 * 9 - 1)
    for matrix, sample in zip(confusion, samples(), strict=True):
        truth = sample['gt_sem_seg']['data']
        assert matrix.sum(axis=1)[4] == (truth == 4).sum()
    assert 100 * np.nanmean(class_iou(confusion.sum(0))) == pytest.approx(
        expected, abs=0.01
    )


def test_submission_holds_label_ids(tmp_path):
    metric = glore_mm.seg.CityscapesSubmission(str(tmp_path))
    metric.dataset_meta = META
    metric.process({}, list(samples(1)))
    written = np.array(Image.open(tmp_path / 'image0.png'))
    predicted = next(samples(1))['pred_sem_seg']['data'][0].numpy()
    assert written.dtype == np.uint8
    for train_id, label_id in ((0, 7), (1, 8), (10, 23), (13, 26), (16, 31), (18, 33)):
        np.testing.assert_array_equal(written == label_id, predicted == train_id)


def test_pictures():
    palette = [[255, 0, 0], [0, 255, 0]]
    labels = np.array([[0, 1], [255, 1]])
    colours = colorize(labels, palette)
    assert colours.tolist() == [[[255, 0, 0], [0, 255, 0]], [[0, 0, 0], [0, 255, 0]]]
    image = np.full((2, 2, 3), 100, np.uint8)
    assert overlay(image, labels, palette)[0, 0].tolist() == [177, 50, 50]
    sheet = np.asarray(panels({'left': colours, 'right': image}))
    assert sheet.shape[1:] == (4, 3)
    np.testing.assert_array_equal(sheet[-2:, :2], colours)
    np.testing.assert_array_equal(sheet[-2:, 2:], image)
