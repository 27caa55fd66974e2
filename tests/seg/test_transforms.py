"""Loading label maps."""

import numpy as np
import pytest
from mmseg.registry import DATASETS
from PIL import Image
from street_data import PIPELINE, cityscapes, first, save

import glore_mm.seg  # noqa: F401  registers the data sets and transforms
from glore_mm.utils.errors import UserError


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
        for loading in ('LoadSegLabels', 'LoadAnnotations')
    ]
    np.testing.assert_array_equal(*found)
    assert found[0].dtype == np.uint8


def test_binary_label_maps(tmp_path):
    """1-bit PNGs, a common format of binary masks."""
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
    with pytest.raises(UserError, match='contains floating-point numbers; e') as e:
        cityscapes(data)[0]
    assert str(path) in str(e.value)
    save(path, np.zeros((48, 96, 3), np.uint8))
    with pytest.raises(UserError, match='is a colour image') as e:
        cityscapes(data)[0]
    assert str(path) in str(e.value)
    path.write_bytes(path.read_bytes()[:60])
    with pytest.raises(UserError, match='cannot be read as a label map') as e:
        cityscapes(data)[0]
    assert str(path) in str(e.value)
