"""Units in detectors of mmdetection; `make test-det` runs this."""

from importlib import import_module
from importlib.util import find_spec

import pytest
import torch
from coco_like import write_coco
from paths import ROOT

pytest.importorskip('mmdet', reason='mmdetection is not here: make test-det')

import torchvision.ops
from mmdet.registry import MODELS
from mmdet.structures import DetDataSample
from mmdet.utils import register_all_modules
from mmengine.config import Config
from mmengine.hub import get_config
from mmengine.optim import build_optim_wrapper
from mmengine.runner import Runner
from mmengine.structures import InstanceData

from glore_mm.insertion import find_units

NETWORKS = 'retinanet_r50_fpn', 'mask-rcnn_r50_fpn'
without_operators = find_spec('mmcv._ext') is None  # mmcv-lite


def read(name: str) -> Config:
    return Config.fromfile(ROOT / 'configs' / 'det' / f'{name}_1x_coco.py')


@pytest.fixture
def batch():
    """An image with an object, in the format of the data loader."""
    torch.manual_seed(0)
    size = dict.fromkeys(
        ('img_shape', 'pad_shape', 'batch_input_shape', 'ori_shape'), (256, 320)
    )
    sample = DetDataSample(metainfo=dict(size, scale_factor=(1, 1)))
    sample.gt_instances = InstanceData(
        bboxes=torch.tensor([[30.0, 40.0, 190.0, 200.0]]), labels=torch.tensor([3])
    )
    image = torch.randint(0, 256, (3, 256, 320), dtype=torch.uint8)
    return dict(inputs=[image], data_samples=[sample])


@pytest.fixture
def operators(monkeypatch):
    """torchvision's NMS and RoIAlign instead of mmcv's, which mmcv-lite lacks."""
    if not without_operators:
        return

    def nms(boxes, scores, iou_threshold, offset):
        assert offset == 0
        return torchvision.ops.nms(boxes, scores, iou_threshold)

    def roi_align(x, rois, size, scale, sampling_ratio, pool_mode, aligned):
        assert pool_mode == 'avg'
        return torchvision.ops.roi_align(x, rois, size, scale, sampling_ratio, aligned)

    monkeypatch.setattr(import_module('mmcv.ops.nms').ext_module, 'nms', nms)
    for name in ('mmcv.ops.roi_align', 'mmdet.structures.mask.structures'):
        monkeypatch.setattr(import_module(name), 'roi_align', roi_align)


@pytest.fixture(scope='session')
def coco(tmp_path_factory):
    """A generated data set in the layout of COCO; must not be changed."""
    from mmdet.datasets import CocoDataset  # after glore_mm: it imports mmcv.ops

    root = tmp_path_factory.mktemp('coco')
    return write_coco(root / 'coco', CocoDataset.METAINFO['classes'])


def small(name: str, coco, work_dir) -> Config:
    """A config with its whole recipe, one step of small images, and no downloads."""
    cfg = read(name)
    cfg.work_dir = cfg.visualizer.name = str(work_dir)  # a visualizer of its own
    backbone = cfg.model.backbone
    backbone.get('backbone', backbone).init_cfg = None
    for loader in (cfg.train_dataloader, cfg.val_dataloader, cfg.test_dataloader):
        loader.update(num_workers=0, persistent_workers=False)
        loader.dataset.data_root = str(coco)
        for step in loader.dataset.pipeline:
            if step.type == 'Resize':
                step.scale = (160, 128)
    for evaluator in (cfg.val_evaluator, cfg.test_evaluator):
        evaluator.ann_file = f'{coco}/annotations/instances_val2017.json'
    cfg.train_cfg.max_epochs = 1
    test_cfg = cfg.model.test_cfg
    # otherwise an untrained network finds nothing
    test_cfg.get('rcnn', test_cfg).score_thr = 0.0
    return cfg


def network(cfg: Config):
    register_all_modules()
    backbone = cfg.model.backbone
    backbone.get('backbone', backbone).init_cfg = None  # no download
    model = MODELS.build(cfg.model)
    model.init_weights()
    return model


@pytest.mark.parametrize('name', NETWORKS)
def test_a_pair_differs_only_in_the_units(name):
    plain, glore = (
        read(f'{prefix}{name}')._cfg_dict.to_dict() for prefix in ('', 'glore_')
    )
    assert glore.pop('custom_imports') == dict(imports=['glore_mm'])
    assert glore['model']['backbone'].pop('placement') == dict(layer2=2, layer3=3)
    glore['model']['backbone'] = glore['model']['backbone']['backbone']
    assert glore == plain


@pytest.mark.parametrize('name', NETWORKS)
def test_a_config_trains_and_tests(name, coco, operators, tmp_path):
    """With its data set, pipelines, optimizer and COCO's metric."""
    register_all_modules()
    for prefix in ('', 'glore_'):
        runner = Runner.from_cfg(small(prefix + name, coco, tmp_path / prefix))
        units = find_units(runner.model)
        expected = ('layer2.0', 'layer2.2', 'layer3.0', 'layer3.2', 'layer3.4')
        places = [f'backbone.{place}.glore' for place in expected if prefix]
        assert list(units) == places
        runner.train()
        assert runner.iter == 1
        logged = {
            key: values.current()
            for key, values in runner.message_hub.log_scalars.items()
        }
        losses = {k.partition('/')[2]: v for k, v in logged.items() if 'loss' in k}
        names = {'loss_cls', 'loss_bbox', 'loss'}
        if 'mask' in name:
            names |= {'loss_rpn_cls', 'loss_rpn_bbox', 'loss_mask'}
        assert losses.keys() == names
        assert all(0 < value < float('inf') for value in losses.values())
        assert all(unit.closing_weight.any() for unit in units.values())
        kinds = ('bbox', 'segm') if 'mask' in name else ('bbox',)
        assert {f'val/coco/{kind}_mAP' for kind in kinds} < logged.keys()


@pytest.mark.skipif(not without_operators, reason='mmcv has the operators')
def test_mask_rcnn_needs_the_operators_of_mmcv(coco, tmp_path):
    """mmcv-lite is enough to build it; the proposals of the first step need NMS."""
    register_all_modules()
    runner = Runner.from_cfg(small('glore_mask-rcnn_r50_fpn', coco, tmp_path))
    with pytest.raises(RuntimeError, match="'nms' is one of mmcv's compiled operators"):
        runner.train()


@pytest.mark.parametrize('name', NETWORKS)
def test_units_change_nothing_at_first(name, batch):
    """New units do not change the outputs, and the weights load by name."""
    plain, glore = (
        network(read(f'{prefix}{name}')).eval() for prefix in ('', 'glore_')
    )
    left = glore.load_state_dict(plain.state_dict(), strict=False)
    assert not left.unexpected_keys
    assert all('.glore' in key for key in left.missing_keys)
    image = batch['inputs'][0][None].float()
    outputs = [model.extract_feat(image) for model in (plain, glore)]
    if 'mask' not in name:
        outputs = [model(image) for model in (plain, glore)]
    for one, other in zip(*outputs, strict=True):
        assert all(map(torch.equal, one, other))


def test_swin():
    """mmdetection's own Swin, with units on its tokens."""
    register_all_modules()
    backbone = dict(type='SwinTransformer', embed_dims=24, depths=(1, 1, 4, 1))
    plain = MODELS.build(backbone)
    net = MODELS.build(
        dict(type='WithGloRe', backbone=backbone, placement={'stages.2.blocks': 2})
    )
    assert list(find_units(net)) == [
        'stages.2.blocks.0.glore',
        'stages.2.blocks.2.glore',
    ]
    left = net.load_state_dict(plain.state_dict(), strict=False)
    assert not left.unexpected_keys
    image = torch.randn(2, 3, 64, 96)
    net.eval(), plain.eval()
    for one, other in zip(net(image), plain(image), strict=True):
        assert torch.equal(one, other)
    sum(out.square().sum() for out in net.train()(image)).backward()
    assert all(unit.closing_weight.grad.any() for unit in find_units(net).values())


def test_a_plain_mmdetection_project_with_the_plugin(batch):
    cfg = get_config('mmdet::retinanet/retinanet_r50_fpn_1x_coco.py')
    cfg.model.backbone.plugins = [
        dict(
            cfg=dict(type='GloRe2d', normalize=True),
            stages=(False, False, True, False),
            position='after_conv3',
        )
    ]
    model = network(cfg)
    assert len(find_units(model)) == 6
    optimizer = build_optim_wrapper(model, cfg.optim_wrapper)
    assert model.train_step(batch, optimizer)['loss'].isfinite()
