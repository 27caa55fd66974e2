"""Configs of published classification data sets, on small data in their layouts."""

import json
import pickle
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from cls_benchmarks import (
    NUM_IMAGES,
    SPECIES,
    write_benchmark,
    write_inaturalist,
    write_pickle,
)
from mmengine.config import Config
from mmengine.registry import DATASETS, init_default_scope
from mmpretrain.datasets import CIFAR100, CUB
from paths import ROOT
from PIL import Image

import glore_mm.cls  # noqa: F401 – registers its data sets
from glore_mm.analysis.dumps import read_dump
from glore_mm.apis.export import export
from glore_mm.apis.infer import infer
from glore_mm.apis.test import add_test_outputs
from glore_mm.apis.test import test as run_test
from glore_mm.apis.train import train
from glore_mm.config.load import load_config
from glore_mm.insertion import find_units
from glore_mm.utils.errors import UserError

#: Configs without `plain_` and `glore_`, by data set.
CONFIGS = dict(
    CIFAR100Files='r18_cifar100', CUB200='r50_cub200', INaturalist='r50_inaturalist'
)
#: Configs with the recipes of transformers.
IMAGENET = 'convnext-t_imagenet', 'swin-t_imagenet', 'deit-s_imagenet'
#: Options of small networks and the channels of their heads, by a part of the name.
NARROW = {
    'r18': (dict(base_channels=8, stem_channels=8, init_cfg=None), 64),
    'r50': (dict(base_channels=8, stem_channels=8, init_cfg=None), 256),
    'convnext': (dict(arch=dict(depths=[1, 1, 3, 1], channels=[8, 16, 32, 64])), 64),
    'swin': (
        dict(
            arch=dict(embed_dims=24, depths=[2, 1, 3, 1], num_heads=[3, 6, 12, 24]),
            img_size=64,
            pad_small_map=True,
        ),
        192,
    ),
    'deit': (
        dict(
            arch=dict(
                embed_dims=48, num_layers=6, num_heads=3, feedforward_channels=96
            ),
            img_size=64,
        ),
        48,
    ),
}
few_places = pytest.mark.filterwarnings('ignore:GloRe.d has more nodes')


@pytest.fixture(scope='session')
def written(tmp_path_factory):
    """Write each data set once; must not be changed."""
    roots = {}

    def write(kind):
        if kind not in roots:
            roots[kind] = write_benchmark(tmp_path_factory.mktemp(kind), kind)
        return roots[kind]

    return write


@pytest.fixture
def copied(written, tmp_path):
    """Return a copy of a data set that a test may damage."""
    return lambda kind: Path(shutil.copytree(written(kind), tmp_path / kind))


def dataset(kind: str, root: Path, split: str = 'train', **options):
    init_default_scope('mmpretrain')
    pipeline = [dict(type='LoadImage'), dict(type='PackInputs')]
    return DATASETS.build(
        dict(type=kind, data_root=str(root), split=split, pipeline=pipeline, **options)
    )


def labels(data) -> list[int]:
    return [data.get_data_info(i)['gt_label'] for i in range(len(data))]


# ------------------------------------------------------------------------ data sets


@pytest.mark.parametrize('kind', CONFIGS)
def test_both_splits_are_read(kind, written):
    for split, expected in zip(
        ('train', 'val' if kind == 'INaturalist' else 'test'),
        NUM_IMAGES[kind],
        strict=True,
    ):
        data = dataset(kind, written(kind), split)
        assert len(data) == expected
        images = {sample['inputs'].numpy().tobytes() for sample in data}
        assert len(images) == expected
        assert all(sample['inputs'].dtype == torch.uint8 for sample in data)


def test_cifar100_gives_the_images_of_mmpretrain(written, monkeypatch):
    """In BGR, as images that LoadImage reads."""
    monkeypatch.setattr(CIFAR100, '_check_integrity', lambda self: True)  # of files
    root = written('CIFAR100Files')
    for split in ('train', 'test'):
        ours = dataset('CIFAR100Files', root, split)
        theirs = CIFAR100(str(root), split=split, download=False)
        assert ours.metainfo['classes'] == theirs.metainfo['classes']
        assert labels(ours) == labels(theirs)
        for i in range(len(theirs)):
            rgb = theirs.get_data_info(i)['img']
            np.testing.assert_array_equal(ours.get_data_info(i)['img'][..., ::-1], rgb)
            name = f'{root}/cifar-100-python/{split}/{i:05}.png'
            assert ours[i]['data_samples'].filename == name


def test_cub200_gives_the_images_of_mmpretrain(written):
    root = written('CUB200')
    for split in ('train', 'test'):
        ours, theirs = dataset('CUB200', root, split), CUB(str(root), split=split)
        assert ours.metainfo == theirs.metainfo
        infos = [
            [(each['img_path'], each['gt_label']) for each in map(of.get_data_info, n)]
            for of, n in ((ours, range(len(ours))), (theirs, range(len(theirs))))
        ]
        assert infos[0] == infos[1]
        assert {0, 1, 16, 199} == {*labels(ours)}


@pytest.mark.parametrize('year', [2018, 2021])
def test_categories_of_inaturalist_are_classes_by_their_id(year, tmp_path):
    root = write_inaturalist(tmp_path, np.random.default_rng(0), year)
    options = dict(annotations='{split}.json') if year == 2021 else {}
    for split in ('train', 'val'):
        data = dataset('INaturalist', root, split, **options)
        names = SPECIES if year == 2021 else tuple('01234')
        assert data.metainfo['classes'] == names
        for i in range(len(data)):
            info = data.get_data_info(i)
            assert Path(info['img_path']).is_file()
            folder = Path(info['img_path']).parent.name
            assert int(folder.partition('_')[0]) == info['gt_label']
    if year == 2018:
        data = dataset('INaturalist', root, categories='categories.json')
        assert data.metainfo['classes'] == SPECIES
    else:  # each class has a folder, too
        data = dataset('ClassFolders', root)
        assert labels(data) == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4]


def test_inaturalist_without_annotations_has_no_labels(copied):
    root = copied('INaturalist')
    content = json.loads((root / 'val2018.json').read_text())
    del content['annotations']
    (root / 'test2018.json').write_text(json.dumps(content))
    data = dataset('INaturalist', root, 'test', test_mode=True)
    assert len(data) == 5
    assert 'gt_label' not in data[0]['data_samples']


# --------------------------------------------------------------------------- errors


def message(kind, root, split='train', **options) -> str:
    with pytest.raises(UserError) as error:
        dataset(kind, root, split, **options)
    assert '\n' not in str(error.value)
    return str(error.value)


def test_cifar100_is_checked(copied, tmp_path):
    root = copied('CIFAR100Files')
    file = root / 'cifar-100-python' / 'train'
    assert f'no file of CIFAR-100 at {tmp_path}/no/cifar-100-python/train. Ext' in (
        message('CIFAR100Files', tmp_path / 'no')
    )
    assert "has no split 'val'; expected 'train' or 'test'" in (
        message('CIFAR100Files', root, 'val')
    )
    content = file.read_bytes()
    file.write_bytes(content[:5000])
    found = message('CIFAR100Files', root)
    assert f'{file} cannot be read as a file of CIFAR-100: ' in found
    assert found.endswith('Extract cifar-100-python.tar.gz again.')
    images = np.zeros((2, 3072), np.uint8)
    for wrong in (
        dict(data=images, labels=[1, 2]),  # CIFAR-10
        dict(data=images, fine_labels=[1]),
        dict(data=images, fine_labels=[1, 100]),
        dict(data=images.astype(int), fine_labels=[1, 2]),
        dict(data=images[:, :3000], fine_labels=[1, 2]),
    ):
        write_pickle(file, wrong)
        names = ', '.join(map(repr, wrong))
        assert f"has {names}; expected 'data', uint8 of (imag" in (
            message('CIFAR100Files', root)
        )
    write_pickle(file, [images])
    assert "expected 'data'" in message('CIFAR100Files', root)


class _Harmful:
    def __reduce__(self):
        return print, ('run',)


def test_a_file_of_cifar100_runs_no_code(copied, capsys):
    root = copied('CIFAR100Files')
    file = root / 'cifar-100-python' / 'train'
    file.write_bytes(pickle.dumps(dict(data=_Harmful()), protocol=2))
    found = message('CIFAR100Files', root)
    assert re.search(r'it contains (__builtin__|builtins)\.print\. Extract', found)
    assert capsys.readouterr().out == ''


@pytest.mark.parametrize(
    ('name', 'line', 'expected'),
    [
        ('images', '1', "images.txt, line 1: '1'; expected the number of an image"),
        ('images', '2 a.jpg', "images.txt, line 2: '2 001.Black"),  # twice
        ('images', '1 ../../a.jpg', 'images.txt, line 1: .* leads outside'),
        ('images', '13 a.jpg', 'different images: .* the number.s. 1, 13'),
        ('image_class_labels', '1 201', "labels.txt, line 1: '201'; .* from 1 to 200"),
        ('image_class_labels', '1 a', "labels.txt, line 1: 'a'; expected an integer"),
        ('train_test_split', '1 2', "split.txt, line 1: '2'; .* from 0 to 1"),
    ],
)
def test_cub200_is_checked(name, line, expected, copied):
    root = copied('CUB200')
    file = root / f'{name}.txt'
    file.write_text('\n'.join([line, *file.read_text().splitlines()[1:]]))
    split = 'test' if 'leads' in expected else 'train'
    assert re.search(expected, message('CUB200', root, split))


def test_cub200_needs_its_files(copied):
    root = copied('CUB200')
    assert f'no list of CUB-200-2011 at {root}/no/images.txt' in (
        message('CUB200', root / 'no')
    )
    (root / 'train_test_split.txt').unlink()
    assert f'at {root}/train_test_split.txt: No such' in message('CUB200', root)
    shutil.rmtree(root / 'images')
    assert f'no folder at {root}/images, whose images {root}/images.txt lists.' in (
        message('CUB200', root)
    )
    (root / 'images.txt').write_text('')
    assert 'images.txt is empty; expected a line for each' in message('CUB200', root)


@pytest.mark.parametrize(
    ('change', 'expected'),
    [
        (lambda c: c.pop('categories'), "another form .categories.; expected the list"),
        (lambda c: c['images'][0].pop('file_name'), 'another form .file_name.; expect'),
        (lambda c: c['images'].clear(), 'val2018.json has no images'),
        (lambda c: c['categories'].pop(), 'has the 4 categories .* the 5 classes 0, 1'),
        (lambda c: c['annotations'].pop(), r"image 15, 'train_val.*', has no ann"),
        (lambda c: c['annotations'][0].update(category_id=9),
         'image 11, .*, is of the category 9, which is not listed'),
        (lambda c: c['images'][0].update(file_name='2019/a.jpg'),
         'no folder at .*/INaturalist/2019, whose images .*val2018.json lists'),
        (lambda c: c['images'][0].update(file_name='../a.jpg'),
         'val2018.json, image 15: .*leads outside'),
    ],
)  # fmt: skip
def test_inaturalist_is_checked(change, expected, copied):
    root = copied('INaturalist')
    content = json.loads((root / 'val2018.json').read_text())
    change(content)
    (root / 'val2018.json').write_text(json.dumps(content))
    assert re.search(expected, message('INaturalist', root, 'val'))


def test_inaturalist_needs_its_files(copied):
    root = copied('INaturalist')
    assert f'no annotations at {root}/train2021.json: No such file' in (
        message('INaturalist', root, annotations='{split}2021.json')
    )
    (root / 'categories.json').write_text('[{"id": 0, "name": "Bufo bufo"}]')
    assert 'categories.json has no category with the id 1, 2, 3, 4' in (
        message('INaturalist', root, categories='categories.json')
    )
    (root / 'categories.json').write_text('{"0": "Bufo bufo"}')
    assert 'has another form (' in (
        message('INaturalist', root, categories='categories.json')
    )
    (root / 'train2018.json').write_text('{"images": [')
    assert 'train2018.json is not a JSON file: ' in message('INaturalist', root)


# -------------------------------------------------------------------------- configs


def load_small(name: str, root: Path, work_dir: Path) -> Config:
    """Load as the tools do, with a narrow network, small images and one epoch."""
    path = str(ROOT / 'configs' / 'cls' / f'{name}.py')
    options = {'data_root': str(root)}
    if 'inat' in name:
        options['categories'] = 'categories.json'
    backbone = 'model.backbone.' + 'backbone.' * name.startswith('glore')
    narrow, channels = next(NARROW[part] for part in NARROW if part in name)
    for key, value in narrow.items():
        replaced = dict(value, _delete_=True) if isinstance(value, dict) else value
        options[backbone + key] = replaced
    options |= {
        'model.head.in_channels': channels,
        'work_dir': str(work_dir),
        'train_dataloader.batch_size': 4,
        'train_cfg.max_epochs': 1,
        'default_hooks.logger.interval': 1,
    }
    sizes = dict(
        RandomResizedCrop=dict(scale=64),
        ResizeEdge=dict(scale=72),
        Resize=dict(scale=72),
        RandomCrop=dict(crop_size=64),
        CenterCrop=dict(crop_size=64),
    )
    cfg = Config.fromfile(path)
    if 'imagenet' in name:
        options['param_scheduler'] = cfg.param_scheduler[:1]  # the warm-up
    for loader in ('train_dataloader', 'val_dataloader', 'test_dataloader'):
        options |= {f'{loader}.num_workers': 0, f'{loader}.persistent_workers': False}
        for i, step in enumerate(cfg[loader].dataset.pipeline):
            for key, value in sizes.get(step.type, {}).items():
                if 'cifar' not in name:
                    options[f'{loader}.dataset.pipeline.{i}.{key}'] = value
    return load_config(path, options)


@few_places
@pytest.mark.parametrize(
    'unit', [pytest.param('plain', marks=pytest.mark.slow), 'glore']
)
@pytest.mark.parametrize(
    ('kind', 'name'),
    [
        *CONFIGS.items(),
        *(
            pytest.param('ImageNetFolders', name, marks=pytest.mark.slow)
            for name in IMAGENET
        ),
    ],
)
def test_trains_tests_infers_and_exports(unit, kind, name, written, tmp_path):
    """With its own data set, pipelines, optimizer and evaluator.

    A plain network is only trained and tested.
    """
    name = f'{unit}_{name}'
    cfg = load_small(name, written(kind), tmp_path / 'run')
    runner = train(cfg, seed=0)
    units = find_units(runner.model).values()
    assert len(units) == (0 if unit == 'plain' else 2 if 'r18' in name else 3)
    assert all(each.closing_weight.any() for each in units)  # they learn
    classes = dict(CIFAR100Files=100, CUB200=200, INaturalist=5).get(kind, 1000)
    cfg = load_small(name, written(kind), tmp_path / 'run')
    assert cfg.model.head.num_classes == classes
    checkpoint = str(tmp_path / 'run' / 'epoch_1.pth')
    dump, shown = tmp_path / 'dump.npz', tmp_path / 'shown'
    add_test_outputs(cfg, show_dir=str(shown), dump=str(dump))
    metrics = run_test(cfg, checkpoint)
    assert 0 <= metrics['accuracy/top1'] <= 100
    dumped, count = read_dump(str(dump)), NUM_IMAGES[kind][1]
    assert len({*dumped.names}) == count
    assert len([*shown.rglob('*.[jJ]*')]) == count
    if unit == 'plain':
        return

    photo = tmp_path / 'photo.png'
    Image.new('RGB', (90, 70), 'green').save(photo)
    cfg = load_small(name, written(kind), tmp_path / 'run')
    (result,) = infer(cfg, checkpoint, [str(photo)], str(tmp_path / 'out'))
    assert len(result['classes']) == 5
    if kind == 'INaturalist':
        assert {each['label'] for each in result['classes']} == {*SPECIES}
    fixed = 'swin' in name or 'deit' in name
    exported = export(cfg, checkpoint, 'torchscript', fixed=fixed)
    with pytest.warns(FutureWarning, match='deprecated'):
        network = torch.jit.load(exported.path)
    side = 32 if kind == 'CIFAR100Files' else 64
    assert network(torch.zeros(1, 3, side, side)).shape == (1, classes)
    if kind == 'ImageNetFolders':
        exported = export(cfg, checkpoint, 'onnx', fixed=fixed)
        assert exported.axes['logits'] == f'({1 if fixed else "batch"}, 1000)'


def test_a_trained_config_needs_no_annotations_of_training(written, tmp_path):
    """The config in the work dir has the classes of iNaturalist."""
    name = 'plain_r50_inaturalist'
    cfg = load_small(name, written('INaturalist'), tmp_path)
    assert [*cfg.test_dataloader.dataset.classes] == [*SPECIES]
    root = Path(shutil.copytree(written('INaturalist'), tmp_path / 'data'))
    (root / 'train2018.json').unlink()
    given = dict(cfg.test_dataloader.dataset, data_root=str(root))
    assert len(DATASETS.build(given)) == 5
