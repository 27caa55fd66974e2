"""Units in a detector of mmdetection; `make test-det` runs this."""

import pytest
import torch
from paths import ROOT

pytest.importorskip('mmdet', reason='mmdetection is not here: make test-det')

from mmdet.registry import MODELS
from mmdet.structures import DetDataSample
from mmdet.utils import register_all_modules
from mmengine.config import Config
from mmengine.hub import get_config
from mmengine.optim import build_optim_wrapper
from mmengine.structures import InstanceData

from glore_mm.insertion import find_units

CONFIG = ROOT / 'configs/det/glore_retinanet_r50_fpn_1x_coco.py'


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


def network(cfg: Config):
    register_all_modules()
    backbone = cfg.model.backbone
    backbone.get('backbone', backbone).init_cfg = None  # no download
    model = MODELS.build(cfg.model)
    model.init_weights()
    return model


def test_the_config_trains_and_detects(batch):
    cfg = Config.fromfile(CONFIG)
    model = network(cfg)
    assert list(find_units(model)) == [
        f'backbone.{place}'
        for place in ('layer2.0.glore', 'layer2.2.glore', 'layer3.0.glore',
                      'layer3.2.glore', 'layer3.4.glore')
    ]  # fmt: skip
    optimizer = build_optim_wrapper(model, cfg.optim_wrapper)
    closing = [unit.closing_weight for unit in find_units(model).values()]
    assert not any(weight.any() for weight in closing)
    losses = model.train_step(batch, optimizer)
    assert {'loss_cls', 'loss_bbox'} < losses.keys()
    assert all(loss.isfinite() for loss in losses.values())
    assert all(weight.any() for weight in closing)
    (found,) = model.eval().test_step(batch)
    assert found.pred_instances.bboxes.shape[1] == 4


def test_units_change_nothing_at_first(batch):
    """New units do not change the outputs, and the weights load by name."""
    plain = network(get_config('mmdet::retinanet/retinanet_r50_fpn_1x_coco.py')).eval()
    glore = network(Config.fromfile(CONFIG)).eval()
    left = glore.load_state_dict(plain.state_dict(), strict=False)
    assert not left.unexpected_keys
    assert all('.glore' in key for key in left.missing_keys)
    image = batch['inputs'][0][None].float()
    for one, other in zip(plain(image), glore(image), strict=True):
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
