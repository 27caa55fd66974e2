"""Data sets of class folders and lists."""

import shutil
from pathlib import Path

import pytest
from mmengine.dataset import pseudo_collate
from mmengine.registry import DATASETS, init_default_scope
from photographs import save, scene, truncated
from torch.utils.data import DataLoader

import glore_mm.cls  # noqa: F401  (registers)
from glore_mm.analysis.data_check import check_data
from glore_mm.utils.errors import UnreadableSampleError, UserError


@pytest.fixture(autouse=True)
def scope():
    init_default_scope('mmpretrain')


@pytest.fixture
def folders(tmp_path) -> Path:
    """Three classes in train with two images each; one of them is missing in val."""
    root = tmp_path / 'pets'
    for split, classes in (('train', 'cat dog owl'), ('val', 'dog owl')):
        for label in classes.split():
            folder = root / split / label
            folder.mkdir(parents=True)
            for number in range(2):
                save(scene(), folder / f'{number}.jpg')
    return root


def data(root: Path, split: str, **more):
    return DATASETS.build(
        dict(
            {
                'type': 'ClassFolders',
                'data_root': str(root),
                'split': split,
                'test_mode': split == 'val',
                'pipeline': [dict(type='LoadImage'), dict(type='PackInputs')],
            },
            **more,
        )
    )


def labels(dataset) -> list[tuple[str, int]]:
    found = (dataset.get_data_info(i) for i in range(len(dataset)))
    return [(Path(s['img_path']).parent.name, s['gt_label']) for s in found]


def test_a_class_has_the_same_label_in_every_split(folders):
    """Val lacks a class; mmpretrain's own data set would renumber the others."""
    train, val = data(folders, 'train'), data(folders, 'val')
    assert train.metainfo['classes'] == val.metainfo['classes'] == ('cat', 'dog', 'owl')
    assert dict(labels(train)) == dict(cat=0, dog=1, owl=2)
    assert dict(labels(val)) == dict(dog=1, owl=2)
    assert len(val) == 4


def test_classes_that_are_numbers(folders):
    for split, number in (('train', '1'), ('val', '1')):
        (folders / split / 'dog').rename(folders / split / number)
    train = data(folders, 'train', classes=['cat', 1, 'owl'])
    assert dict(labels(train)) == {'cat': 0, '1': 1, 'owl': 2}


def test_classes_from_the_config(folders):
    given = data(folders, 'val', classes=['owl', 'dog', 'cat'])
    assert dict(labels(given)) == dict(owl=0, dog=1)
    (folders / 'names.txt').write_text('dog\n\nowl\ncat\n')
    given = data(folders, 'val', classes='names.txt')
    assert given.metainfo['classes'] == ('dog', 'owl', 'cat')
    assert dict(labels(given)) == dict(dog=0, owl=1)
    (folders / 'names.txt').write_text('dog\nowl\ndog\n')
    with pytest.raises(UserError, match="names.txt has 'dog' more than once"):
        data(folders, 'val', classes='names.txt')
    with pytest.raises(UserError, match='no file of classes at .*/gone.txt'):
        data(folders, 'val', classes='gone.txt')


@pytest.mark.parametrize('suffix', ['webp', 'gif', 'tiff', 'JPEG', 'PNG'])
def test_usual_image_formats_are_found(suffix, folders):
    save(scene(), folders / 'train' / 'cat' / f'another.{suffix}')
    assert len(data(folders, 'train')) == 7


def test_hidden_folders_are_not_classes(folders):
    (folders / 'train' / '.ipynb_checkpoints').mkdir()
    assert data(folders, 'train').metainfo['classes'] == ('cat', 'dog', 'owl')


def test_files_that_macos_adds_are_ignored(folders):
    (folders / 'train' / '__MACOSX').mkdir()
    save(scene(), folders / 'train' / 'cat' / '._0.jpg')
    train = data(folders, 'train')
    assert train.metainfo['classes'] == ('cat', 'dog', 'owl')
    assert len(train) == 6


def test_a_link_to_a_missing_file_is_reported(folders):
    """As git-annex and DVC leave them for files that were not downloaded."""
    (folders / 'val' / 'dog' / '2.jpg').symlink_to('/nowhere/2.jpg')
    val = data(folders, 'val')
    assert len(val) == 5
    with pytest.raises(UserError, match='dog/2.jpg: no such file'):
        list(val)


def test_a_split_from_a_list(folders):
    (folders / 'val.txt').write_text('dog/0.jpg 1\nowl/1.jpg 2\n')
    listed = data(folders, 'val', ann_file='val.txt')
    assert labels(listed) == [('dog', 1), ('owl', 2)]
    (folders / 'val.txt').write_text('dog/0.jpg 3\n')
    with pytest.raises(UserError, match=r'val.txt, line 1: label 3; .* are 0 to 2'):
        data(folders, 'val', ann_file='val.txt')
    (folders / 'val.txt').write_text('\ndog/0.jpg dog\n')
    with pytest.raises(UserError, match=r"val.txt, line 2: 'dog/0.jpg dog'; expected "):
        data(folders, 'val', ann_file='val.txt')
    (folders / 'val.txt').write_text('')
    with pytest.raises(UserError, match='val.txt is empty'):
        data(folders, 'val', ann_file='val.txt')
    with pytest.raises(UserError, match='no list of images at .*/gone.txt'):
        data(folders, 'val', ann_file='gone.txt')
    shutil.rmtree(folders / 'train')
    with pytest.raises(UserError, match='no class folders in .*/train, which defines'):
        data(folders, 'val', ann_file='val.txt')


@pytest.mark.parametrize(
    'line', ['../../x.jpg', '/x.jpg', 'dog/../../../x.jpg', '{root}/../x.jpg']
)
def test_a_list_with_paths_outside_the_data_root(line, folders):
    path = line.format(root=folders)
    (folders / 'val.txt').write_text(f'dog/0.jpg 1\n{path} 2\n')
    with pytest.raises(UserError, match='val.txt, line 2: .* leads outside') as error:
        data(folders, 'val', ann_file='val.txt')
    for text in (path, folders, 'outside_root=True'):
        assert str(text) in str(error.value)
    allowed = data(folders, 'val', ann_file='val.txt', outside_root=True)
    assert allowed.get_data_info(1)['img_path'] == str(folders / 'val' / path)


def test_a_list_with_other_paths_in_the_data_root(folders):
    (folders / 'val.txt').write_text(f'../train/cat/0.jpg 0\n{folders}/val/dog/1.jpg 1')
    listed = data(folders, 'val', ann_file='val.txt')
    assert labels(listed) == [('cat', 0), ('dog', 1)]
    assert listed[0]['data_samples'].img_path == f'{folders}/train/cat/0.jpg'


@pytest.mark.parametrize('more', [dict(), dict(outside_root=True)])
def test_a_list_with_addresses(more, folders, monkeypatch):
    monkeypatch.chdir(folders)
    for address in ('http://host/x.jpg', 's3://bucket/x.jpg', 'dog:http://host/x.jpg'):
        (folders / 'val.txt').write_text(f'{address} 1\n')
        with pytest.raises(UserError, match='val.txt, line 1: .* is an address; exp'):
            data('', 'val', classes=['cat', 'dog'], ann_file='val.txt', **more)


def test_wrong_folders(folders):
    message = 'no folder at .*/test; expected one with .* has: train, val.'
    with pytest.raises(UserError, match=message):
        data(folders, 'test')
    (folders / 'val' / 'newt').mkdir()
    save(scene(), folders / 'val' / 'newt' / '0.jpg')
    with pytest.raises(UserError) as error:
        data(folders, 'val')
    message = str(error.value)
    assert f"{folders}/val has 'newt', which {folders}/train lacks" in message
    assert "(it has 'cat', 'dog', 'owl')" in message
    shutil.rmtree(folders / 'train')
    with pytest.raises(UserError, match='no class folders in .*/train, which defines'):
        data(folders, 'val')
    shutil.rmtree(folders / 'val')
    (folders / 'val').mkdir()
    with pytest.raises(UserError, match=r'there are no images \(\.bmp, .*pets/val'):
        data(folders, 'val', classes=['cat'])


def test_a_class_without_images(folders):
    for split in ('train', 'val'):
        for file in (folders / split / 'owl').iterdir():
            file.rename(file.with_suffix('.txt'))
    assert len(data(folders, 'train')) == 4
    with pytest.raises(UserError, match=r"val: no images \(.*\) in 'owl'. Fill or rem"):
        data(folders, 'val')


def test_files_that_are_no_samples_are_reported(folders):
    (folders / 'train/cat/0.jpg').rename(folders / 'train/cat/0.heic')
    save(scene(), folders / 'train' / '3.jpg')
    (folders / 'train/README.md').touch()
    train = data(folders, 'train')
    assert len(train) == 5
    (line,) = [x for x in check_data(dict(train=train)) if 'left out' in x]
    assert line.startswith('train: left out 2 file(s) that are not images (')
    root = folders / 'train'
    assert line.endswith(f'in a class folder: {root}/cat/0.heic, {root}/3.jpg')


def test_imagenet_has_1000_folders_or_a_list(tmp_path):
    for number in range(1000):
        folder = tmp_path / 'val' / f'n{number:08d}'
        folder.mkdir(parents=True)
        (folder / 'a.JPEG').touch()
    val = data(tmp_path, 'val', type='ImageNetFolders')
    assert len(val.metainfo['classes']) == len(val) == 1000
    assert val.metainfo['classes'][0] == 'tench, Tinca tinca'
    assert labels(val)[999] == ('n00000999', 999)
    shutil.rmtree(tmp_path / 'val' / 'n00000500')
    with pytest.raises(UserError, match='val has 999 class folders, expected 1000'):
        data(tmp_path, 'val', type='ImageNetFolders')
    (tmp_path / 'meta').mkdir()
    (tmp_path / 'meta' / 'val.txt').write_text('n00000007/a.JPEG 7\n')
    listed = data(tmp_path, 'val', type='ImageNetFolders')
    assert labels(listed) == [('n00000007', 7)]
    (tmp_path / 'meta' / 'val.txt').write_text('/x.JPEG 7\n')
    with pytest.raises(UserError, match='meta/val.txt, line 1: .* leads outside'):
        data(tmp_path, 'val', type='ImageNetFolders')
    with pytest.raises(UserError, match='meta/val.txt, line 1: .* leads outside'):
        data(tmp_path, 'val', type='ImageNetFolders', with_label=False)
    data(tmp_path, 'val', type='ImageNetFolders', outside_root=True)


def test_training_replaces_an_unreadable_image_and_testing_stops(folders):
    bad = folders / 'train' / 'cat' / '0.jpg'
    bad.write_bytes(truncated('jpg'))
    train = data(folders, 'train')
    skipped = {}
    for _ in range(2):
        for index in range(len(train)):
            sample = train[index]
            skipped.update(sample['data_samples'].get('skipped', ()))
            assert sample['data_samples'].filename != str(bad)
    assert list(skipped) == [str(bad)]
    assert 'truncated' in skipped[str(bad)]
    with pytest.raises(UserError, match='cat/0.jpg: .*, or take it out of the data'):
        data(folders, 'train', test_mode=True)[0]


def test_a_worker_of_another_data_set_names_the_unreadable_file(folders):
    """mmpretrain's own data set with our transform, in a separate process."""
    bad = folders / 'val' / 'dog' / '0.jpg'
    bad.write_bytes(truncated('jpg'))
    stock = DATASETS.build(
        dict(
            type='CustomDataset',
            data_root=str(folders),
            data_prefix='val',
            test_mode=True,
            pipeline=[dict(type='LoadImage'), dict(type='PackInputs')],
        )
    )
    loader = DataLoader(stock, num_workers=1, collate_fn=pseudo_collate)
    with pytest.raises(
        UnreadableSampleError, match='dog/0.jpg: cannot be read as an image'
    ):
        list(loader)


def test_training_stops_if_nothing_can_be_read(folders):
    for file in folders.glob('train/*/*.jpg'):
        file.write_bytes(b'nothing')
    train = data(folders, 'train')
    with pytest.raises(UserError, match='pets/train: 6 images in a row cannot be'):
        for index in range(len(train)):
            train[index]


def test_class_folders_that_are_not_split(folders):
    """Each image is in one split; the classes are those of all images."""
    train, val = (
        data(folders / 'train', split, val_share=0.33) for split in ('train', 'val')
    )
    assert train.metainfo['classes'] == val.metainfo['classes'] == ('cat', 'dog', 'owl')
    paths = [
        {d.get_data_info(i)['img_path'] for i in range(len(d))} for d in (train, val)
    ]
    assert (len(paths[0]), len(paths[1])) == (4, 2)
    assert paths[0] | paths[1] == {*map(str, (folders / 'train').rglob('*.jpg'))}
    with pytest.raises(UserError, match='not split into train and val, give val_share'):
        data(folders / 'train', 'train')
