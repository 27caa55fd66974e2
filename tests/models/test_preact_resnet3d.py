"""The released 3D network: its cost, and several views of a video."""

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import MODELS, TRANSFORMS, init_default_scope
from paths import ROOT

import glore_mm.video
from glore_mm import GloRe3d
from glore_mm.analysis.cost import count_flops
from glore_mm.utils.errors import UserError
from glore_mm.video.task import TASK

CONFIGS = ROOT / 'configs' / 'video'


def read(name):
    init_default_scope('mmaction')
    return Config.fromfile(CONFIGS / f'{name}.py')


def tiny(**more):
    return glore_mm.video.PreActResNet3d(base_channels=8, stage_blocks=[1] * 4, **more)


@pytest.mark.parametrize(
    ('name', 'parameters', 'gmacs', 'units'),
    [
        ('glore_r50_8x8_kinetics400', 33_731_952, 31.776, 5),
        ('glore_r101_8x8_kinetics400', 57_442_672, 50.324, 5),
        # the same without five units: 2 × 0.411 M, 3 × 1.641 M
        ('plain_r50_8x8_kinetics400', 27_985_264, 25.283, 0),
    ],
)
def test_costs_what_the_released_network_costs(name, parameters, gmacs, units):
    """With all units in the direct order of products; a cheaper order is possible."""
    cfg = read(name)
    model = MODELS.build(cfg.model)
    cost = count_flops(model, **TASK.example_inputs(cfg))
    assert sum(isinstance(m, GloRe3d) for m in model.modules()) == units
    assert cost.parameters == parameters
    assert cost.macs / 1e9 <= gmacs + 0.0005
    assert (cost.macs - cost.unit_macs) / 1e9 == pytest.approx(
        gmacs - (6.493 if units else 0), abs=0.001
    )


def test_cost_equals_a_count_by_hand():
    convolution = torch.nn.Conv2d(3, 8, 3, padding=1, bias=False)
    cost = count_flops(convolution, input=torch.zeros(1, 3, 5, 7))
    assert (cost.parameters, cost.macs) == (216, 216 * 35)
    assert (cost.unit_parameters, cost.unit_macs) == (0, 0)

    unit = glore_mm.GloRe2d(16, order='direct')  # 8 states, 4 nodes
    net = torch.nn.Sequential(torch.nn.Conv2d(3, 16, 1), unit)
    net.train()
    cost = count_flops(net, input=torch.zeros(1, 3, 5, 7))
    assert net.training
    assert cost.unit_parameters == sum(p.numel() for p in unit.parameters())
    length, direct = 35, 16 * 8 + 16 * 4 + 2 * 8 * 4 + 8 * 16
    assert cost.unit_macs == length * direct + 4 * 4 * 8 + 8 * 8 * 4


@pytest.mark.parametrize('frames', [8, 32])
def test_time_is_halved_once_and_space_five_times(frames):
    model = tiny().eval()
    assert model(torch.zeros(2, 3, frames, 64, 96)).shape == (2, 256, frames // 2, 2, 3)
    assert model(torch.zeros(1, 3, 7, 33, 49)).shape == (1, 256, 4, 2, 2)


def test_temporal_kernels_are_where_the_release_has_them():
    model = glore_mm.video.PreActResNet3d(50, base_channels=2)
    lengths = {
        stage: [
            block.conv_m1.conv.kernel_size[0]
            for block in model.get_submodule(f'layer{stage}')
        ]
        for stage in (1, 2, 3, 4)
    }
    assert lengths == {
        1: [3, 3, 3],
        2: [3, 1, 3, 1],
        3: [3, 1, 3, 1, 3, 1],
        4: [1, 3, 1],
    }


def test_initialisation_equals_the_release():
    model = glore_mm.WithGloRe(
        dict(
            type='mmaction.PreActResNet3d', base_channels=8, stage_blocks=(1, 2, 2, 1)
        ),
        placement=dict(layer2=1, layer3=2),
    )
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.fill_(7)
    model.init_weights()
    for name, parameter in model.named_parameters():
        if name.endswith('blocker.weight'):
            assert not parameter.any(), name
        elif parameter.dim() > 1:  # Xavier-uniform
            fan_out, fan_in = parameter.shape[:2]
            fan = (fan_in + fan_out) * parameter[0, 0].numel()
            bound = (6 / fan) ** 0.5
            assert 0.8 * bound < parameter.abs().max() <= bound, name
        else:
            assert (parameter == (0 if name.endswith('bias') else 1)).all(), name


def test_checkpointing_of_blocks_changes_nothing():
    torch.manual_seed(0)
    plain, saving = tiny(), tiny(with_cp=True)
    plain.init_weights()
    saving.load_state_dict(plain.state_dict())
    clip = torch.randn(2, 3, 4, 32, 32)
    gradients = []
    for model in (plain, saving):
        model.zero_grad()
        model(clip).square().mean().backward()
        gradients.append(model.conv1.conv.weight.grad)
    torch.testing.assert_close(*gradients)


def test_norms_can_be_frozen():
    model = tiny(norm_eval=True).train()
    assert model.training
    assert not any(
        m.training for m in model.modules() if isinstance(m, torch.nn.BatchNorm3d)
    )
    assert tiny().train().tail.bn.training


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (dict(depth=34), 'depth must be one of 50, 101, got 34'),
        (
            dict(stage_blocks=(1, 2, 3)),
            r'numbers of blocks of four stages.*\(1, 2, 3\)',
        ),
        (dict(stage_blocks=(1, 2, 0, 3)), 'at least 1'),
    ],
)
def test_wrong_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        glore_mm.video.PreActResNet3d(**arguments)


@pytest.mark.parametrize('crops', [1, 3, 5])
def test_positions_of_views(crops):
    """The crop of each view, read from frames that contain their coordinates."""
    cfg = read('glore_r50_8x8_kinetics400')
    TASK.set_views(cfg, 2, crops)
    pipeline = cfg.test_dataloader.dataset.pipeline
    assert pipeline[1]['num_clips'] == 2
    crop = TRANSFORMS.build(pipeline[4])
    rows, columns = np.mgrid[:256, :340]
    frame = np.stack([rows, columns], axis=2)

    def places(name):
        sample = dict(imgs=[frame] * 6, num_clips=2, clip_len=3, filename=name)
        images = crop(dict(sample, img_shape=(256, 340)))['imgs']
        side = 256 if crops == 3 else 224
        assert all(image.shape[:2] == (side, side) for image in images)
        corners = np.array([image[0, 0] for image in images]).reshape(crops, 2, 3, 2)
        assert (corners == corners[:, :, :1]).all()  # the same position in a whole clip
        return corners[:, :, 0]  # (crops, clips, 2)

    found = places('a.mp4')
    if crops == 1:
        assert (found == (16, 58)).all()  # the centre
    elif crops == 3:
        assert sorted(found[:, 0].tolist()) == [[0, 0], [0, 42], [0, 84]]
    else:
        assert found[0, 0].tolist() == [16, 58]
        assert len(np.unique(found.reshape(-1, 2), axis=0)) > 5
        assert (found.max(axis=(0, 1)) <= (32, 116)).all()
        assert (found == places('a.mp4')).all() and (found != places('b.mp4')).any()


def test_views_are_averaged():
    """One score per video: the mean of the probabilities of its views."""
    from mmaction.structures import ActionDataSample

    cfg = read('glore_r50_8x8_kinetics400')
    cfg.merge_from_dict(
        {
            'model.backbone.backbone': dict(base_channels=8, stage_blocks=[1, 2, 3, 1]),
            'model.cls_head': dict(in_channels=256, num_classes=5),
        }
    )
    TASK.set_views(cfg, 4, 3)
    model = MODELS.build(cfg.model)
    model.init_weights()
    model.eval()
    views = torch.randn(1, 12, 3, 8, 32, 32)
    with torch.no_grad():
        sample = ActionDataSample().set_gt_label(1)
        (found,) = model(views, [sample], mode='predict')
        single = [model(view[None, None], stage='head') for view in views[0]]
    expected = torch.cat(single).softmax(dim=1).mean(dim=0)
    torch.testing.assert_close(found.pred_score, expected)


def test_wrong_views():
    cfg = read('glore_r50_8x8_kinetics400')
    with pytest.raises(UserError, match='expected at least 1 clip and 1, 3 or 5 crop'):
        TASK.set_views(cfg, 10, 4)
    cfg.test_dataloader.dataset.pipeline.pop(3)
    with pytest.raises(UserError, match='there is no Resize in it'):
        TASK.set_views(cfg, 10, 3)
