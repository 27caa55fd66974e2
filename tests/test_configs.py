"""Every config builds and differs from its baseline in what it says."""

from pathlib import Path

import pytest
from mmengine.config import Config
from mmengine.registry import MODELS, init_default_scope

import glore_mm

ROOT = Path(__file__).parent.parent
SEG = sorted((ROOT / 'configs' / 'seg').glob('*.py'))


def read(name: str) -> Config:
    return Config.fromfile(ROOT / 'configs' / 'seg' / f'{name}.py')


def build(cfg: Config):
    init_default_scope(cfg.default_scope)
    cfg.model.pretrained = None  # nothing is downloaded here
    return MODELS.build(cfg.model)


def differences(a, b, path='') -> set[str]:
    """Paths of the keys in which two configs differ."""
    if isinstance(a, dict) and isinstance(b, dict):
        return {
            found
            for key in a.keys() | b.keys()
            for found in differences(a.get(key), b.get(key), f'{path}.{key}')
        }
    return set() if a == b else {path.lstrip('.')}


@pytest.mark.parametrize('path', SEG, ids=lambda path: path.stem)
def test_builds(path):
    cfg = Config.fromfile(path)
    model = build(cfg)
    units = [m for m in model.modules() if isinstance(m, glore_mm.unit.GloRe)]
    glore = path.stem.startswith('glore')
    assert len(units) == (5 if 'backbone' in path.stem else 1 if glore else 0)
    assert all(unit.normalize for unit in units)
    crop = next(t for t in cfg.train_pipeline if t.type == 'RandomCrop').crop_size
    resize = next(t for t in cfg.train_pipeline if t.type == 'RandomResize').scale
    assert crop == cfg.model.data_preprocessor.size
    assert cfg.test_pipeline[1] == dict(type='Resize', scale=resize, keep_ratio=True)
    classes = 21 if 'voc' in path.stem else 11 if 'camvid' in path.stem else 19
    assert model.decode_head.num_classes == model.auxiliary_head.num_classes == classes


def test_the_main_config():
    cfg = read('glore_cityscapes')
    backbone = cfg.model.backbone
    assert (backbone.type, backbone.depth) == ('ResNetV1c', 50)
    assert (backbone.strides, backbone.dilations) == ((1, 2, 1, 1), (1, 1, 2, 4))
    assert backbone.norm_cfg.type == 'SyncBN'
    assert cfg.model.pretrained == 'open-mmlab://resnet50_v1c'
    head = cfg.model.decode_head
    assert (head.type, head.channels, head.concat_input) == ('GloReHead', 512, False)
    crop = next(t for t in cfg.train_pipeline if t.type == 'RandomCrop')
    assert crop.crop_size == cfg.model.data_preprocessor.size == (512, 1024)
    assert cfg.train_cfg.max_iters == cfg.param_scheduler[0].end == 80000


@pytest.mark.parametrize(
    ('name', 'baseline', 'keys'),
    [
        ('glore_cityscapes', 'fcn_cityscapes', {'model.decode_head.type'}),
        ('nl_cityscapes', 'fcn_cityscapes', {'model.decode_head.type'}),
        ('glore_camvid', 'fcn_camvid', {'model.decode_head.type'}),
        ('glore_mini', 'fcn_mini', {'model.decode_head.type'}),
        (
            'glore_r101_cityscapes',
            'glore_cityscapes',
            {'model.backbone.depth', 'model.pretrained'},
        ),
        (
            'glore_multigrid_cityscapes',
            'glore_cityscapes',
            {'model.backbone.multi_grid'},
        ),
    ],
)
def test_differs_from_its_baseline_in_nothing_else(name, baseline, keys):
    a, b = read(name)._cfg_dict.to_dict(), read(baseline)._cfg_dict.to_dict()
    assert differences(a, b) == keys


def test_units_in_the_backbone_are_where_the_paper_has_them():
    model = build(read('glore_backbone_cityscapes'))
    units = [
        n for n, _ in model.backbone.named_modules() if n.split('.')[-1][:5] == 'glore'
    ]
    assert ' '.join(units) == (
        'layer2.glore0 layer2.glore2 layer3.glore0 layer3.glore2 layer3.glore4'
    )


def test_metafile_lists_every_config():
    from mmengine.fileio import load

    index = load(ROOT / 'model-index.yml')
    listed = [
        model['Config']
        for path in index['Import']
        for model in load(ROOT / path)['Models']
    ]
    assert sorted(listed) == [f'configs/seg/{path.name}' for path in SEG]
