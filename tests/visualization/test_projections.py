"""Recorded projections of units against B from its formula."""

import copy

import numpy as np
import pytest
import torch
import torchvision
from torch import nn

from glore_mm import GloRe1d, GloRe2d, GloRe3d, insert_glore
from glore_mm.utils.errors import UserError
from glore_mm.visualization.projections import (
    node_usage,
    projection_maps,
    rank_nodes,
    record_projections,
)


def resnet(**unit):
    torch.manual_seed(0)
    net = torchvision.models.resnet18(num_classes=3)
    return insert_glore(net, dict(layer2=1, layer3=(0, 1)), dict(num_nodes=5, **unit))


def expected(unit, x):
    """B in float64, from the weights of the projection."""
    x = x.double()
    layer = unit.conv_proj
    if unit.pre_act:
        norm, layer = layer.norm, layer.conv
        shape = (1, -1, *[1] * (x.dim() - 2))
        mean, var, weight, bias = (
            t.double().view(shape)
            for t in (norm.running_mean, norm.running_var, norm.weight, norm.bias)
        )
        x = ((x - mean) / (var + norm.eps).sqrt() * weight + bias).clamp(min=0)
    b = torch.einsum('kc,nc...->nk...', layer.weight.double().flatten(1), x)
    if layer.bias is not None:
        b = b + layer.bias.double().view(1, -1, *[1] * (x.dim() - 2))
    return b.detach().numpy()


@pytest.mark.parametrize('pre_act', [False, True])
@pytest.mark.parametrize('order', ['direct', 'reassociated'])
def test_maps_equal_the_projections_of_the_units(order, pre_act):
    net = resnet(order=order, pre_act=pre_act).eval()
    inputs = {}
    for path, module in net.named_modules():
        if isinstance(module, GloRe2d):
            module.register_forward_pre_hook(
                lambda m, args, path=path: inputs.__setitem__(path, args[0].clone())
            )
    found = projection_maps(net, torch.randn(2, 3, 96, 64))
    assert list(found) == ['layer2.0.glore', 'layer3.0.glore', 'layer3.1.glore']
    for path, unit in found.items():
        module = net.get_submodule(path)
        b = expected(module, inputs[path])
        assert unit.maps.dtype == np.float32
        assert unit.maps.shape == b.shape == (2, 5, *inputs[path].shape[2:])
        assert np.abs(unit.maps - b).max() < 1e-6 * np.abs(b).max()
        edges = module.gcn.conv1.conv if pre_act else module.gcn.conv1
        edges = edges.weight[:, :, 0].detach().numpy()
        assert np.allclose(unit.graph, np.eye(5) + edges)


@pytest.mark.parametrize(('unit', 'size'), [(GloRe1d, (9,)), (GloRe3d, (2, 3, 4))])
def test_a_unit_by_itself(unit, size):
    torch.manual_seed(0)
    unit, x = unit(8), torch.randn(3, 8, *size)
    nn.init.ones_(unit.blocker.weight)
    found = projection_maps(unit, x)['']
    assert np.abs(found.maps - expected(unit, x)).max() < 1e-6
    with torch.no_grad():
        y = unit.eval()(x) - x
    ratio = (y.flatten(1).norm(dim=1) / x.flatten(1).norm(dim=1)).numpy()
    assert np.allclose(found.added, ratio, rtol=1e-5)


def test_a_new_unit_adds_nothing():
    assert (projection_maps(GloRe2d(8), torch.randn(2, 8, 4, 4))[''].added == 0).all()


def state(net):
    hooks = [
        (dict(m._forward_hooks), dict(m._forward_pre_hooks)) for m in net.modules()
    ]
    return [m.training for m in net.modules()], hooks


@pytest.mark.parametrize('fails', [False, True])
def test_the_network_is_not_changed(fails):
    net = resnet(pre_act=True).train()
    net.layer1.eval()  # like a backbone with frozen stages
    modes, weights = state(net), copy.deepcopy(net.state_dict())
    if fails:
        with pytest.raises(RuntimeError):
            projection_maps(net, torch.randn(1, 7, 32, 32))
        with pytest.raises(ZeroDivisionError), record_projections(net):
            net(torch.randn(1, 3, 32, 32))
            raise ZeroDivisionError
    else:
        projection_maps(net, torch.randn(1, 3, 32, 32))
    assert state(net) == modes
    for name, tensor in net.state_dict().items():
        assert torch.equal(tensor, weights[name]), name
    assert torch.is_grad_enabled()


def test_several_runs_are_joined():
    net = resnet()
    x = torch.randn(3, 3, 64, 64)
    with record_projections(net) as parts:
        for sample in x:
            net(sample[None])
    whole = projection_maps(net, x)
    for path, unit in whole.items():
        assert np.allclose(parts[path].maps, unit.maps, atol=1e-5)
    with (
        pytest.raises(UserError, match=r'layer2\.0\.glore ran on inputs of different'),
        record_projections(net),
    ):
        net(x)
        net(x[:, :, :32])


def test_networks_without_recorded_units():
    with pytest.raises(UserError, match='ResNet has no GloRe unit.*insert_glore'):
        projection_maps(torchvision.models.resnet18(), torch.randn(1, 3, 32, 32))
    with (
        pytest.raises(UserError, match=r'ran none of its units \(layer2\.0\.glore, '),
        record_projections(resnet()),
    ):
        pass


def test_rank_nodes_puts_the_map_that_explains_the_others_first():
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, 3, 8, 8))
    # two nodes with the same map, one with another map, one without variance
    maps = np.stack([b, 5 * a, 2 * a + 3, np.full_like(a, 7)])
    order, scores = rank_nodes(maps)
    assert order[0] in (1, 2)  # they explain each other
    assert order.tolist()[1] == 0
    assert scores.sum() == pytest.approx(1)
    assert scores[0] > 0.9
    assert scores[2:] == pytest.approx([0, 0], abs=1e-9)
    assert sorted(order) == [0, 1, 2, 3]


@pytest.mark.parametrize('nodes', [1, 4, 12])
def test_scores_are_what_the_first_maps_explain(nodes):
    """Against NumPy's least squares: all maps from the first few."""
    rng = np.random.default_rng(1)
    maps = rng.normal(size=(nodes, nodes)) @ rng.normal(size=(nodes, 40))
    order, scores = rank_nodes(maps.reshape(nodes, 5, 8))
    centred = (maps - maps.mean(axis=1, keepdims=True)).T
    total = np.square(centred).sum()
    for count in range(1, nodes + 1):
        chosen = centred[:, order[:count]]
        left = centred - chosen @ np.linalg.lstsq(chosen, centred, rcond=None)[0]
        assert scores[:count].sum() == pytest.approx(1 - np.square(left).sum() / total)


def test_maps_that_do_not_vary():
    order, scores = rank_nodes(np.ones((3, 2, 2)))
    assert sorted(order) == [0, 1, 2]
    assert (scores == 0).all()


def test_node_usage():
    maps = np.zeros((2, 3, 4, 4), np.float32)
    maps[:, 0], maps[:, 2] = 1, -3
    assert node_usage(maps).tolist() == pytest.approx([0.1, 0, 0.9])
    assert node_usage(maps * 0).tolist() == [0, 0, 0]
