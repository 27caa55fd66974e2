"""Photographs of every kind, and folders and lists of them."""

import io
import shutil
from pathlib import Path

import numpy as np
import pytest
from mmengine.dataset import pseudo_collate
from mmengine.registry import DATASETS, TRANSFORMS, init_default_scope
from PIL import Image, ImageCms, PngImagePlugin
from torch.utils.data import DataLoader

import glore_mm.cls  # noqa: F401  (registers)
from glore_mm.engine import Unreadable
from glore_mm.errors import UserError


@pytest.fixture(autouse=True)
def scope():
    init_default_scope('mmpretrain')


def scene() -> Image.Image:
    """A smooth picture, wider than high, none of whose turned forms is like another."""
    y, x = np.mgrid[0:48, 0:64] / (48, 64)[0]
    rgb = np.stack([200 - 120 * x, 60 + 100 * y, 80 + 40 * x + 50 * y], axis=-1)
    return Image.fromarray(rgb.clip(0, 255).astype(np.uint8))


def load(path: Path) -> np.ndarray:
    """What LoadPhotograph makes of a file, RGB."""
    found = TRANSFORMS.build(dict(type='LoadPhotograph'))(dict(img_path=str(path)))
    image = found['img']
    assert image.dtype == np.uint8 and image.flags.c_contiguous
    assert found['img_shape'] == found['ori_shape'] == image.shape[:2]
    return image[..., ::-1]


def save(image: Image.Image, path: Path, **how) -> Path:
    image.save(path, **how)
    return path


def assert_alike(found, expected, tolerance=3.0):
    expected = np.asarray(expected).astype(float)
    assert found.shape == expected.shape
    assert np.abs(found - expected).mean() < tolerance


def test_colours_in_their_order(tmp_path):
    assert_alike(load(save(scene(), tmp_path / 'a.png')), scene(), 1e-9)
    assert_alike(load(save(scene(), tmp_path / 'a.jpg', quality=95)), scene())


def test_grey(tmp_path):
    grey = scene().convert('L')
    found = load(save(grey, tmp_path / 'a.jpg', quality=95))
    assert_alike(found, grey.convert('RGB'))
    dots = scene().convert('1')
    assert_alike(load(save(dots, tmp_path / 'b.png')), dots.convert('RGB'), 1e-9)


def test_cmyk(tmp_path):
    """Inks, not light: read without their sign they would show the negative."""
    path = save(scene().convert('CMYK'), tmp_path / 'a.jpg', quality=95)
    assert Image.open(path).mode == 'CMYK'
    assert_alike(load(path), scene())


@pytest.mark.parametrize('order', ['<u2', '>u2'])
def test_grey_of_16_bits(order, tmp_path):
    grey = np.asarray(scene().convert('L'))
    deep = Image.fromarray(grey.astype(np.uint16) * 257)
    suffix = 'png' if order == '<u2' else 'tif'
    found = load(save(deep, tmp_path / f'a.{suffix}'))
    assert_alike(found, np.repeat(grey[..., None], 3, axis=-1), 1e-9)


def test_colour_of_16_bits(tmp_path):
    import cv2

    deep = np.asarray(scene()).astype(np.uint16) * 257
    cv2.imwrite(str(tmp_path / 'a.png'), deep[..., ::-1])
    assert_alike(load(tmp_path / 'a.png'), scene(), 1.0)


def test_palette_and_transparency(tmp_path):
    few = scene().quantize(64)
    assert_alike(load(save(few, tmp_path / 'a.gif')), few.convert('RGB'), 1e-9)
    clear = scene()
    clear.putalpha(90)
    assert_alike(load(save(clear, tmp_path / 'b.png')), scene(), 1e-9)
    grey = scene().convert('L')
    dim = Image.merge('LA', [grey, Image.new('L', (64, 48), 90)])
    assert_alike(load(save(dim, tmp_path / 'c.png')), grey.convert('RGB'), 1e-9)


@pytest.mark.parametrize('orientation', range(1, 9))
def test_upright_whichever_way_the_camera_was_held(orientation, tmp_path):
    stored = {
        1: None,
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }[orientation]
    image = scene() if stored is None else scene().transpose(stored)
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = save(image, tmp_path / 'a.jpg', quality=95, exif=exif)
    assert_alike(load(path), scene())


def test_a_damaged_note_of_the_camera_leaves_the_photograph(tmp_path):
    """Among the tags of EXIF one that points nowhere, as phones and editors write."""
    exif = Image.Exif()
    exif[0x0112] = 6
    path = save(scene(), tmp_path / 'a.jpg', quality=95, exif=exif)
    content = path.read_bytes()
    start = content.index(b'Exif')
    for offset in range(start + 6, start + len(exif.tobytes())):  # any byte of it
        path.write_bytes(content[:offset] + b'\xff' + content[offset + 1 :])
        found = load(path)
        assert found.shape[:2] in ((48, 64), (64, 48))
    profile = PngImagePlugin.PngInfo()
    profile.add_text('Raw profile type exif', '\nexif\n 8\nno digits')
    path = save(scene(), tmp_path / 'b.png', pnginfo=profile)
    assert_alike(load(path), scene(), 1e-9)


def test_pgm_of_16_bits(tmp_path):
    grey = np.asarray(scene().convert('L'))
    content = b'P5 64 48 65535\n' + (grey.astype('>u2') * 257).astype('>u2').tobytes()
    (tmp_path / 'a.pgm').write_bytes(content)
    expected = np.repeat(grey[..., None], 3, axis=-1)
    assert_alike(load(tmp_path / 'a.pgm'), expected, 1e-9)


def test_colour_profile_does_not_stand_in_the_way(tmp_path):
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile('sRGB')).tobytes()
    path = save(scene(), tmp_path / 'a.jpg', quality=95, icc_profile=profile)
    assert_alike(load(path), scene())


def truncated(suffix: str) -> bytes:
    file = io.BytesIO()
    scene().resize((640, 480)).save(file, {'jpg': 'JPEG', 'png': 'PNG'}[suffix])
    return file.getvalue()[: len(file.getvalue()) * 2 // 3]


BAD = {
    'empty.jpg': (b'', 'cannot be read as an image'),
    'text.jpg': (b'This is not a photograph.', 'cannot be read as an image: cannot id'),
    'page.jpg': (b'<html><body>404</body></html>', 'cannot be read as an image'),
    'short.jpg': (truncated('jpg'), 'cannot be read as an image: image file is trunc'),
    'short.png': (truncated('png'), 'cannot be read as an image: image file is trunc'),
}


@pytest.mark.parametrize('name', BAD)
def test_what_cannot_be_read_is_named(name, tmp_path):
    content, reason = BAD[name]
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(Unreadable) as error:
        load(path)
    assert str(error.value).startswith(f'{path}: {reason}')
    assert str(error.value).endswith('. Fetch it again.')


def test_missing_file(tmp_path):
    with pytest.raises(Unreadable, match='gone.jpg: no such file. Fetch'):
        load(tmp_path / 'gone.jpg')


def test_32_bits_are_refused_rather_than_guessed(tmp_path):
    deep = Image.fromarray(np.asarray(scene().convert('L')).astype(np.float32) / 255)
    with pytest.raises(Unreadable, match='have 32 bits. Save it with 8 or 16.'):
        load(save(deep, tmp_path / 'a.tif'))


# ------------------------------------------------------------------------- data sets


@pytest.fixture
def folders(tmp_path) -> Path:
    """Three classes in train, two images each; one of them lacks in val."""
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
                'pipeline': [dict(type='LoadPhotograph'), dict(type='PackInputs')],
            },
            **more,
        )
    )


def labels(dataset) -> list[tuple[str, int]]:
    found = (dataset.get_data_info(i) for i in range(len(dataset)))
    return [(Path(s['img_path']).parent.name, s['gt_label']) for s in found]


def test_a_class_has_its_label_in_every_split(folders):
    """Val lacks a class: mmpretrain's own data set would count the others anew."""
    train, val = data(folders, 'train'), data(folders, 'val')
    assert train.metainfo['classes'] == val.metainfo['classes'] == ('cat', 'dog', 'owl')
    assert dict(labels(train)) == dict(cat=0, dog=1, owl=2)
    assert dict(labels(val)) == dict(dog=1, owl=2)
    assert len(val) == 4


def test_classes_may_be_given(folders):
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
def test_usual_kinds_of_files_are_found(suffix, folders):
    save(scene(), folders / 'train' / 'cat' / f'another.{suffix}')
    assert len(data(folders, 'train')) == 7


def test_hidden_folders_are_no_classes(folders):
    (folders / 'train' / '.ipynb_checkpoints').mkdir()
    assert data(folders, 'train').metainfo['classes'] == ('cat', 'dog', 'owl')


def test_a_listed_split(folders):
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
    with pytest.raises(UserError, match='no class folders in .*/train, which says'):
        data(folders, 'val', ann_file='val.txt')


@pytest.mark.parametrize(
    'line', ['../../x.jpg', '/x.jpg', 'dog/../../../x.jpg', '{root}/../x.jpg']
)
def test_a_list_leads_nowhere_else(line, folders):
    path = line.format(root=folders)
    (folders / 'val.txt').write_text(f'dog/0.jpg 1\n{path} 2\n')
    with pytest.raises(UserError, match='val.txt, line 2: .* leads outside') as error:
        data(folders, 'val', ann_file='val.txt')
    for text in (path, folders, 'outside_root=True'):
        assert str(text) in str(error.value)
    allowed = data(folders, 'val', ann_file='val.txt', outside_root=True)
    assert allowed.get_data_info(1)['img_path'] == str(folders / 'val' / path)


def test_a_list_may_lead_elsewhere_in_the_data_root(folders):
    (folders / 'val.txt').write_text(f'../train/cat/0.jpg 0\n{folders}/val/dog/1.jpg 1')
    listed = data(folders, 'val', ann_file='val.txt')
    assert labels(listed) == [('cat', 0), ('dog', 1)]
    assert listed[0]['data_samples'].img_path == f'{folders}/train/cat/0.jpg'


@pytest.mark.parametrize('more', [dict(), dict(outside_root=True)])
def test_a_list_makes_nothing_be_downloaded(more, folders, monkeypatch):
    monkeypatch.chdir(folders)
    for address in ('http://host/x.jpg', 's3://bucket/x.jpg', 'dog:http://host/x.jpg'):
        (folders / 'val.txt').write_text(f'{address} 1\n')
        with pytest.raises(UserError, match='val.txt, line 1: .* is an address; exp'):
            data('', 'val', classes=['cat', 'dog'], ann_file='val.txt', **more)


def test_wrong_folders(folders):
    with pytest.raises(UserError, match='no folder at .*/test; expected one with'):
        data(folders, 'test')
    (folders / 'val' / 'newt').mkdir()
    save(scene(), folders / 'val' / 'newt' / '0.jpg')
    with pytest.raises(UserError) as error:
        data(folders, 'val')
    message = str(error.value)
    assert f"{folders}/val has 'newt', which {folders}/train lacks" in message
    assert "(it has 'cat', 'dog', 'owl')" in message
    shutil.rmtree(folders / 'train')
    with pytest.raises(UserError, match='no class folders in .*/train, which says'):
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


def test_training_takes_another_image_and_testing_stops(folders):
    bad = folders / 'train' / 'cat' / '0.jpg'
    bad.write_bytes(truncated('jpg'))
    train = data(folders, 'train')
    told = {}
    for _ in range(2):
        for index in range(len(train)):
            sample = train[index]
            told.update(sample['data_samples'].get('skipped', ()))
            assert sample['data_samples'].filename != str(bad)
    assert list(told) == [str(bad)]
    assert 'truncated' in told[str(bad)]
    with pytest.raises(UserError, match='cat/0.jpg: .*, or take it out of the data'):
        data(folders, 'train', test_mode=True)[0]


def test_another_data_set_s_worker_names_what_cannot_be_read(folders):
    """mmpretrain's own data set with our transform, in a process of its own."""
    bad = folders / 'val' / 'dog' / '0.jpg'
    bad.write_bytes(truncated('jpg'))
    stock = DATASETS.build(
        dict(
            type='CustomDataset',
            data_root=str(folders),
            data_prefix='val',
            test_mode=True,
            pipeline=[dict(type='LoadPhotograph'), dict(type='PackInputs')],
        )
    )
    loader = DataLoader(stock, num_workers=1, collate_fn=pseudo_collate)
    with pytest.raises(Unreadable, match='dog/0.jpg: cannot be read as an image'):
        list(loader)


def test_training_gives_up_where_nothing_can_be_read(folders):
    for file in folders.glob('train/*/*.jpg'):
        file.write_bytes(b'nothing')
    train = data(folders, 'train')
    with pytest.raises(UserError, match='pets/train: 6 images in a row cannot be'):
        for index in range(len(train)):
            train[index]
