"""Fuzzing of lists of samples and classes: read, or an error with file and line."""

import os.path as osp

import pytest
from fuzzing import SCRATCH, assert_clear, attempt, fuzz
from hypothesis import strategies as st
from mmengine.registry import DATASETS

import glore_mm.cls
import glore_mm.seg
import glore_mm.video  # noqa: F401  (each registers)
from glore_mm.utils.kinetics import kinetics400_classes, write_kinetics_list

ROOT = SCRATCH / 'lists'
LIST = ROOT / 'list.txt'
VIDEO = 'abcdefghijk_000001_000011.mp4'


@pytest.fixture(scope='session', autouse=True)
def folders():
    write_folders()


def write_folders() -> None:
    """Write files that lists can name: images, label maps, videos; none is opened."""
    for name in ('images/a.jpg', 'labels/a.png', 'val/x/a.jpg', f'videos/x y/{VIDEO}'):
        (ROOT / name).parent.mkdir(parents=True, exist_ok=True)
        (ROOT / name).touch()


COMMON = dict(ann_file='list.txt', data_root=str(ROOT), serialize_data=False)
VIDEOS = dict(type='mmaction.KineticsVideos', pipeline=[], **COMMON)
KINDS = [
    dict(VIDEOS, data_prefix=dict(video='videos')),
    dict(VIDEOS, data_prefix=dict(img='videos'), type='mmaction.KineticsFrames'),
    dict(COMMON, type='mmpretrain.ClassFolders', split='val', classes=['x', 'y']),
    dict(COMMON, type='mmpretrain.ImageNetFolders', split='val'),
    dict(
        COMMON,
        type='mmseg.PascalVOC',
        data_prefix=dict(img_path='images', seg_map_path='labels'),
    ),
]

pieces = st.sampled_from(
    ['a', '..', '.', '/', ' ', '\t', '\0', '\r', 'é', '~', 'a.jpg', 'http://h/', '\\']
) | st.just(str(ROOT))
whole = st.sampled_from(['a', 'x/a.jpg', '../../a', 'http://h/a', '/a', f'{ROOT}/a'])
paths = whole | st.lists(pieces, max_size=6).map(''.join)
numbers = st.sampled_from(['', ' 0', ' 9 1']) | st.text(' \t0123456789.-+e_x')
lines = st.builds('{}{}'.format, paths, numbers)
texts = st.lists(lines, max_size=4).map('\n'.join).map(str.encode) | st.binary()


@fuzz(300, config=st.sampled_from(KINDS), content=texts)
def test_lists_of_samples(config, content):
    LIST.write_bytes(content)
    dataset, message = attempt(DATASETS.build, config)
    if message:
        assert_clear(message, LIST)
        assert 'line ' in message or 'empty' in message or 'UTF-8' in message
        return message
    assert len(dataset) == len([x for x in content.decode().split('\n') if x.strip()])
    for sample in dataset.data_list:
        paths = [value for value in sample.values() if isinstance(value, str)]
        assert paths
        for path in paths:
            assert '://' not in path
            assert osp.commonpath([ROOT, osp.abspath(path)]) == str(ROOT)


@fuzz(100, content=texts)
def test_files_of_classes(content):
    LIST.write_bytes(content)
    config = dict(VIDEOS, classes='list.txt', lazy_init=True)
    dataset, message = attempt(DATASETS.build, config)
    if message:
        assert_clear(message, LIST)
        return message
    names = dataset.metainfo['classes']
    assert len(set(names)) == len(names) > 0


COLUMNS = ['label', 'youtube_id', 'time_start', 'time_end']
ROW = ['abseiling', VIDEO[:11], '1', '11.0']
odd = st.sampled_from(
    [*COLUMNS, *ROW, 'nan', '-1e999', '"', '""', '', '../../x', '\0', '\r', 'a,b', '\n']
)
odd |= st.just('a' * 140_000)  # more than the csv module allows
rows = st.builds(
    lambda cells, changes: ','.join({**dict(enumerate(cells)), **changes}.values()),
    st.sampled_from([COLUMNS, ROW]),
    st.dictionaries(st.integers(0, 5), odd, max_size=2),
)
tables = st.lists(rows, max_size=3).map('\n'.join) | st.builds(
    '{}\n{}\n{}'.format, st.just(','.join(COLUMNS)), st.just(','.join(ROW)), rows
)


@fuzz(200, content=tables.map(str.encode) | st.binary())
def test_annotations_of_kinetics(content):
    """A data set can read the written list."""
    annotations, videos = ROOT / 'train.csv', ROOT / 'videos'
    annotations.write_bytes(content)
    counts, message = attempt(
        write_kinetics_list, str(annotations), str(videos), str(LIST)
    )
    if message:
        assert_clear(message, annotations)
        return message
    listed, missing = counts
    dataset = DATASETS.build(KINDS[0])
    assert len(dataset) == listed > 0 <= missing
    for clip in dataset.data_list:
        assert clip['filename'] == str(videos / 'x y' / VIDEO)
        assert clip['label'] < len(kinetics400_classes())
