"""Configs of published segmentation data sets, on small data in their layouts."""

import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch
from config_parts import without_units
from mmengine.config import Config
from mmengine.registry import DATASETS, init_default_scope
from paths import ROOT
from PIL import Image
from seg_benchmarks import LAYOUTS, NUM_IMAGES, SIZE, write_benchmark

import glore_mm.seg  # noqa: F401 – registers its data sets
from glore_mm.apis.export import export
from glore_mm.apis.infer import infer
from glore_mm.apis.test import test as run_test
from glore_mm.apis.train import train
from glore_mm.config.build import build_model
from glore_mm.config.load import load_config
from glore_mm.insertion import find_units
from glore_mm.utils.errors import UserError

#: Configs without and with units, by data set.
CONFIGS = [
    ('ADE20K', 'fcn_r101_ade20k', 'glore_r101_ade20k'),
    ('PascalContext59', 'fcn_r101_pascal-context', 'glore_r101_pascal-context'),
    ('PascalContext60', 'fcn_r101_pascal-context-60', 'glore_r101_pascal-context-60'),
    ('COCOStuff', 'fcn_r50_coco-stuff164k', 'glore_r50_coco-stuff164k'),
    ('LoveDA', 'fcn_r50_loveda', 'glore_r50_loveda'),
    ('CHASEDB1', 'unet_chase-db1', 'glore_unet_chase-db1'),
    ('CamVid', 'fcn_lite0_camvid', 'glore_lite0_camvid'),
    ('ADE20K', 'segformer_mit-b0_ade20k', 'glore_segformer_mit-b0_ade20k'),
    ('ADE20K', 'deeplabv3plus_r50_ade20k', 'glore_deeplabv3plus_r50_ade20k'),
    (
        'Cityscapes',
        'deeplabv3plus_r50_cityscapes',
        'glore_deeplabv3plus_r50_cityscapes',
    ),
    *(
        (data, f'{name}_{data.lower()}', f'glore_{name}_{data.lower()}')
        for data in ('ADE20K', 'Cityscapes')
        for name in ('swin-t_upernet', 'convnext-t_upernet')
    ),
]
#: mmsegmentation's config of the data, and the part of ours.
BASES = dict(
    ADE20K=('ade20k', 'ade20k'),
    PascalContext59=('pascal_context_59', 'pascal_context_59'),
    COCOStuff=('coco-stuff164k', 'coco_stuff164k'),
    LoveDA=('loveda', 'loveda'),
    CHASEDB1=('chase_db1', 'chase_db1'),
)
#: Options of small networks, and how many times fewer channels they have.
NARROW = {
    'ResNetV1c': (dict(base_channels=8, stem_channels=8), 8),
    'UNet': (dict(base_channels=8), 8),
    'MixVisionTransformer': ({}, 1),
    'TIMMBackbone': ({}, 1),
    'SwinTransformer': (dict(embed_dims=24, depths=[2, 1, 3, 1]), 4),
    'mmpretrain.ConvNeXt': (
        dict(arch=dict(_delete_=True, depths=[1, 1, 3, 1], channels=[8, 16, 32, 64])),
        12,
    ),
}
#: One config for each architecture that tests/apis/test_export.py does not export. They
#: are also exported to ONNX, which takes longer.
ONNX = {
    'glore_unet_chase-db1',
    'glore_segformer_mit-b0_ade20k',
    'glore_deeplabv3plus_r50_ade20k',
    'glore_convnext-t_upernet_ade20k',
}
few_places = pytest.mark.filterwarnings('ignore:GloRe.d has more nodes')


@pytest.fixture(scope='session')
def written(mini, tmp_path_factory):
    """Write each data set once; must not be changed."""
    roots = {'Cityscapes': mini, 'CamVid': mini}

    def write(kind):
        if kind not in roots:
            roots[kind] = write_benchmark(tmp_path_factory.mktemp(kind), kind)
        return roots[kind]

    return write


def read(name):
    return load_config(str(ROOT / 'configs' / 'seg' / f'{name}.py'), {})


def build_dataset(kind, root, loader='train_dataloader'):
    """Build the data set of a config; it loads images and labels only."""
    name = next(plain for each, plain, _ in CONFIGS if each == kind)
    pipeline = [dict(type='LoadImage'), dict(type='LoadSegLabels')]
    init_default_scope('mmseg')
    cfg = dict(read(name)[loader].dataset, data_root=str(root), pipeline=pipeline)
    return DATASETS.build(cfg)


# ------------------------------------------------------------------------ data sets


@pytest.mark.parametrize('kind', LAYOUTS)
def test_label_values_become_classes(kind, written):
    """In their order; the value of pixels without a class is ignored."""
    for loader in ('train_dataloader', 'val_dataloader'):
        dataset = build_dataset(kind, written(kind), loader)
        assert len(dataset) == NUM_IMAGES
        sample = dataset[0]
        classes = len(dataset.metainfo['classes'])
        assert len(dataset.metainfo['palette']) == classes
        file = np.array(Image.open(sample['seg_map_path']))
        values = LAYOUTS[kind].values
        unlabelled = [0] if classes == len(values) - 1 and 0 in values else []
        unlabelled = [255] if 255 in values and kind != 'CHASEDB1' else unlabelled
        expected = np.full(256, 255)
        kept = [value for value in values if value not in unlabelled]
        expected[kept] = np.arange(classes)
        np.testing.assert_array_equal(sample['gt_seg_map'], expected[file])
        assert set(np.unique(sample['gt_seg_map'])) >= set(range(classes))


@pytest.mark.parametrize('kind', BASES)
def test_pipelines_and_splits_are_those_of_mmsegmentation(kind):
    """Except for the steps that read files and the data sets' types."""
    path, own = BASES[kind]
    theirs = Config.fromfile(
        Config._get_cfg_path(f'mmseg::_base_/datasets/{path}.py', '')[0]
    )
    cfg = Config.fromfile(ROOT / 'configs' / '_base_' / 'datasets' / f'{own}.py')
    theirs_train = theirs.train_dataloader.dataset
    theirs_train = theirs_train.get('dataset', theirs_train)  # in a RepeatDataset
    for a, b in (
        (cfg.train_dataloader.dataset, theirs_train),
        (cfg.val_dataloader.dataset, theirs.val_dataloader.dataset),
        (cfg.test_dataloader.dataset, theirs.test_dataloader.dataset),
    ):
        assert a.data_prefix == b.data_prefix
        assert a.data_root == b.data_root.rstrip('/')
        assert a.get('ann_file') == b.get('ann_file')
        steps = [
            [step for step in part.pipeline if not step.type.startswith('Load')]
            for part in (a, b)
        ]
        assert steps[0] == steps[1]
        init_default_scope('mmseg')
        built = [
            DATASETS.build(dict(part, lazy_init=True, pipeline=[], data_root=''))
            for part in (a, dict(b, data_prefix=dict(img_path='.')))
        ]
        assert built[0].metainfo == built[1].metainfo
    for part in ('train_dataloader.batch_size', 'val_evaluator', 'test_evaluator'):
        node = [cfg, theirs]
        for key in part.split('.'):
            node = [each[key] for each in node]
        assert node[0] == node[1], part


def test_coco_stuff_reads_converted_label_maps(written, tmp_path):
    """They have priority over those of the archive, in the same folder."""
    root = Path(shutil.copytree(written('COCOStuff'), tmp_path / 'data'))
    archive = build_dataset('COCOStuff', root)[0]
    file = Path(archive['seg_map_path'])
    converted = file.with_name(f'{file.stem}_labelTrainIds.png')
    Image.fromarray(archive['gt_seg_map']).save(converted)
    dataset = build_dataset('COCOStuff', root)
    assert len(dataset) == NUM_IMAGES
    assert dataset[0]['seg_map_path'] == str(converted)
    np.testing.assert_array_equal(dataset[0]['gt_seg_map'], archive['gt_seg_map'])
    assert dataset[1]['seg_map_path'].endswith('000000000002.png')


@pytest.mark.parametrize('form', ['1 bit', '0 and 255', '0 and 1', 'grey'])
def test_chase_db1_has_vessels_from_128_on(form, tmp_path):
    values = np.array([[0, 255, 0, 255]], np.uint8)
    image = dict(
        [
            ('1 bit', Image.fromarray(values).convert('1')),
            ('0 and 255', Image.fromarray(values)),
            ('0 and 1', Image.fromarray(values // 255)),
            ('grey', Image.fromarray(np.array([[3, 128, 127, 254]], np.uint8))),
        ]
    )[form]
    for folder, name in (('images', '.jpg'), ('annotations', '_1stHO.png')):
        (tmp_path / folder / 'training').mkdir(parents=True)
        file = tmp_path / folder / 'training' / f'Image_01L{name}'
        (image if 'HO' in name else Image.new('RGB', (4, 1))).save(file)
    shutil.copy(file, file.with_name('Image_01L_2ndHO.png'))  # the second observer
    (sample,) = build_dataset('CHASEDB1', tmp_path)
    np.testing.assert_array_equal(sample['gt_seg_map'], [[0, 1, 0, 1]])


@pytest.mark.parametrize('kind', ['LoveDA', 'CHASEDB1'])
def test_the_commands_of_the_docs_make_the_layout(kind, written, tmp_path):
    """From the files of the archive; docs/data.md shows the commands."""
    source = written(kind)
    root = tmp_path / 'data' / source.name
    root.mkdir(parents=True)
    if kind == 'LoveDA':
        folders = dict(img_dir='images_png', ann_dir='masks_png')
        for split in ('Train', 'Val'):
            for i, region in enumerate(('Rural', 'Urban'), 1):
                for prepared, folder in folders.items():
                    (root / split / region / folder).mkdir(parents=True)
                    file = source / prepared / split.lower() / f'{i}.png'
                    shutil.copy(file, root / split / region / folder)
    else:
        image = next(source.rglob('*01L.jpg'))
        mask = next(source.rglob('*01L_1stHO.png'))
        for eye in (f'{i:02}{side}' for i in range(1, 15) for side in 'LR'):
            shutil.copy(image, root / f'Image_{eye}.jpg')
            for observer in ('1st', '2nd'):
                shutil.copy(mask, root / f'Image_{eye}_{observer}HO.png')
    page = (ROOT / 'docs' / 'data.md').read_text()
    name = dict(LoveDA='loveDA', CHASEDB1='CHASE_DB1')[kind]
    (commands,) = re.findall(rf'^cd data/{name}\n(.*?)^```', page, re.M | re.S)
    subprocess.run(['bash', '-ec', commands], cwd=root, check=True)
    sizes = [
        len(build_dataset(kind, root, f'{split}_dataloader'))
        for split in ('train', 'val')
    ]
    assert sizes == ([2, 2] if kind == 'LoveDA' else [20, 8])


def test_errors_name_the_file_and_what_was_expected(written, tmp_path):
    root = Path(shutil.copytree(written('ADE20K'), tmp_path / 'ade'))
    labels = root / 'annotations/training/ADE_train_00000001.png'
    content = labels.read_bytes()
    Image.fromarray(np.full(SIZE, 151, np.uint8)).save(labels)
    wrong = r'00001.png has the label value\(s\) 151; the classes are 1 to 150'
    with pytest.raises(UserError, match=wrong):
        build_dataset('ADE20K', root)[0]
    labels.unlink()
    with pytest.raises(UserError) as error:
        build_dataset('ADE20K', root)
    assert '1 image(s) have no label map' in str(error.value)
    assert f'(expected {labels})' in str(error.value)
    labels.write_bytes(content)
    (root / 'images/training').rename(root / 'images/train')
    with pytest.raises(UserError, match='no data set at .*images/training'):
        build_dataset('ADE20K', root)

    root = Path(shutil.copytree(written('COCOStuff'), tmp_path / 'coco'))
    labels = root / 'annotations/train2017/000000000001.png'
    Image.fromarray(np.full(SIZE, 11, np.uint8)).save(labels)  # 'street sign', unused
    wrong = r'00001.png has the label value\(s\) 11; the classes are 0 to 10, 12 to 24'
    with pytest.raises(UserError, match=wrong):
        build_dataset('COCOStuff', root)[0]

    root = Path(shutil.copytree(written('CHASEDB1'), tmp_path / 'chase'))
    labels = root / 'annotations/training/Image_01L_1stHO.png'
    labels.rename(labels.with_name('Image_01L_2ndHO.png'))
    with pytest.raises(UserError, match='have no label map.*expected .*01L_1stHO.png'):
        build_dataset('CHASEDB1', root)

    root = Path(shutil.copytree(written('PascalContext59'), tmp_path / 'context'))
    (root / 'ImageSets/SegmentationContext/train.txt').write_text('2008_none\n')
    with pytest.raises(UserError, match=r'train.txt are not in .*line 1: .2008_none'):
        build_dataset('PascalContext59', root)


# -------------------------------------------------------------------------- configs


@pytest.mark.parametrize(('kind', 'plain', 'glore'), CONFIGS, ids=lambda value: value)
def test_a_pair_differs_only_in_the_unit(kind, plain, glore):
    """And in the rule that the norms of units have no weight decay, as other norms."""
    a, b = (read(name)._cfg_dict.to_dict() for name in (plain, glore))
    del a['work_dir'], b['work_dir']
    assert a != b
    b = without_units(b)
    if b['model']['decode_head']['type'] == 'GloReHead':
        b['model']['decode_head']['type'] = 'FCNHead'
    rules = b['optim_wrapper'].get('paramwise_cfg', {}).get('custom_keys', {})
    assert rules.pop('glore.blocker', {}) in ({}, dict(decay_mult=0.0))
    assert a == b


def test_deeplab_has_its_unit_after_the_aspp():
    """It starts as the network without the unit; its classes have the usual key."""
    key = {'model.decode_head.num_classes': 5, 'model.pretrained': None}
    path = str(ROOT / 'configs' / 'seg' / '{}deeplabv3plus_r50_ade20k.py')
    model, plain = (
        build_model(load_config(path.format(prefix), key)) for prefix in ('glore_', '')
    )
    model.init_weights()
    ((name, unit),) = find_units(model).items()
    assert name == 'decode_head.bottleneck.glore'
    assert (unit.in_channels, unit.num_states, unit.num_nodes) == (512, 128, 64)
    state = model.state_dict()
    plain.load_state_dict({k: v for k, v in state.items() if '.glore.' not in k})
    x = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        out, expected = (net.eval()(x) for net in (model, plain))
    assert out.shape == (1, 5, 16, 16)
    assert torch.equal(out, expected)


def load_small(name, root, work_dir):
    """Load as the tools do, with a narrow network, small crops and one iteration."""
    path = str(ROOT / 'configs' / 'seg' / f'{name}.py')
    cfg = load_config(path, {})
    backbone = 'model.backbone' + '.backbone' * ('backbone' in cfg.model.backbone)
    options = {
        'data_root': str(root),
        'work_dir': str(work_dir),
        'model.pretrained': None,  # no downloads
        f'{backbone}.init_cfg': None,
        'model.data_preprocessor.size': (32, 32),
        'train_dataloader.batch_size': 2,
        'train_cfg.max_iters': 1,
        'train_cfg.val_interval': 1,
        'default_hooks.checkpoint.interval': 1,
    }
    if cfg.model.test_cfg.mode == 'slide':
        options['model.test_cfg.crop_size'] = (32, 32)
        options['model.test_cfg.stride'] = (21, 21)
    kind = cfg.model.backbone.get('backbone', cfg.model.backbone).type
    narrow, factor = NARROW[kind]
    options |= {f'{backbone}.{key}': value for key, value in narrow.items()}
    for key in ('decode_head', 'auxiliary_head') if factor > 1 else ():
        part = cfg.model[key].get('backbone', cfg.model[key])
        options[f'model.{key}.channels'] = 16
        for size in {'in_channels', 'c1_in_channels'} & {*part}:
            wide = part[size]
            options[f'model.{key}.{size}'] = (
                [each // factor for each in wide]
                if isinstance(wide, list)
                else wide // factor
            )
    scale = SIZE[::-1]
    sizes = dict(RandomResize=dict(scale=scale), Resize=dict(scale=scale))
    sizes['RandomCrop'] = dict(crop_size=(32, 32))
    for loader in ('train_dataloader', 'val_dataloader', 'test_dataloader'):
        options |= {f'{loader}.num_workers': 0, f'{loader}.persistent_workers': False}
        for i, step in enumerate(cfg[loader].dataset.pipeline):
            for key, value in sizes.get(step.type, {}).items():
                options[f'{loader}.dataset.pipeline.{i}.{key}'] = value
    return load_config(path, options)


@few_places
@pytest.mark.parametrize(
    ('kind', 'name'), [each[::2] for each in CONFIGS], ids=lambda value: value
)
def test_trains(kind, name, written, tmp_path):
    """With its own data set, pipelines, optimizer and evaluator."""
    runner = train(load_small(name, written(kind), tmp_path / 'run'), seed=0)
    units = find_units(runner.model).values()
    assert units
    assert all(unit.closing_weight.any() for unit in units)  # they learn
    (best,) = tmp_path.rglob('best_*.pth')
    assert ('mDice' if kind == 'CHASEDB1' else 'mIoU') in best.name


@pytest.mark.slow
@few_places
@pytest.mark.parametrize(
    ('kind', 'name'),
    [(kind, name) for kind, *names in CONFIGS for name in names],
    ids=lambda value: value,
)
def test_a_trained_network_tests_infers_and_exports(kind, name, written, tmp_path):
    """A plain network is only trained and tested. ONNX: once for each architecture."""
    runner = train(load_small(name, written(kind), tmp_path / 'run'), seed=0)
    cfg = load_small(name, written(kind), tmp_path / 'run')
    checkpoint = str(tmp_path / 'run' / 'iter_1.pth')
    metrics = run_test(cfg, checkpoint)
    assert 0 <= metrics['mDice' if kind == 'CHASEDB1' else 'mIoU'] <= 100
    if not name.startswith('glore'):
        assert not find_units(runner.model)
        return
    image = runner.val_dataloader.dataset.get_data_info(0)['img_path']
    (result,) = infer(cfg, checkpoint, [image], str(tmp_path / 'out'))
    mask = Image.open(tmp_path / 'out' / f'{Path(image).stem}.png')
    assert mask.size == Image.open(image).size
    assert result['classes']
    fixed = 'swin' in name
    exported = export(cfg, checkpoint, 'torchscript', fixed=fixed)
    with pytest.warns(FutureWarning, match='deprecated'):
        network = torch.jit.load(exported.path)
    classes, width = cfg.model.decode_head.num_classes, 32 if fixed else 64
    assert network(torch.zeros(1, 3, 32, width)).shape == (1, classes, 32, width)
    if name in ONNX:
        fixed = 'upernet' in name  # its adaptive pooling
        exported = export(cfg, checkpoint, 'onnx', size=(64, 64), fixed=fixed)
        expected = '(1, 3, 64, 64)' if fixed else '(batch, 3, height, width)'
        assert exported.axes['images'] == expected
