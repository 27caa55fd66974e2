"""The unit against a literal transcription of its equations in float64."""

import copy
import itertools
import warnings
from functools import partial

import pytest
import torch
from equations import SIZES, UNITS, double, error, randomize, transcription
from torch import nn

from glore_mm import GloRe2d, GloRe3d

FORMS = list(itertools.product((1, 2, 3), (False, True), (False, True)))


@pytest.mark.parametrize('training', [False, True])
@pytest.mark.parametrize(('dim', 'normalize', 'pre_act'), FORMS)
def test_equals_the_equations(dim, normalize, pre_act, training):
    torch.manual_seed(0)
    unit = randomize(UNITS[dim](16, 10, 6, normalize=normalize, pre_act=pre_act))
    unit.train(training)
    x = torch.randn(3, 16, *SIZES[dim])
    state = double(copy.deepcopy(unit.state_dict()))
    expected = transcription(state, x.double(), normalize, pre_act, training)
    y = unit(x).detach() - x
    assert expected.norm() > 1
    assert error(y, expected) < 1e-6
    unit.load_state_dict(state)  # the forward pass in training updated the statistics
    exact = unit.double()(x.double()).detach() - x.double()
    assert error(exact, expected) < 1e-12


@pytest.mark.parametrize('training', [False, True])
@pytest.mark.parametrize(('dim', 'normalize', 'pre_act'), FORMS)
def test_gradients(dim, normalize, pre_act, training):
    torch.manual_seed(0)
    unit = randomize(UNITS[dim](4, 3, 2, normalize=normalize, pre_act=pre_act)).double()
    unit.train(training)
    size = {1: (5,), 2: (3, 2), 3: (2, 2, 2)}[dim]
    x = torch.randn(2, 4, *size, dtype=torch.float64, requires_grad=True)
    names = [name for name, _ in unit.named_parameters()]

    def run(x, *parameters):
        return torch.func.functional_call(
            unit, dict(zip(names, parameters, strict=True)), (x,)
        )

    assert torch.autograd.gradcheck(run, (x, *unit.parameters()))


@pytest.mark.parametrize('normalize', [False, True])
def test_an_empty_batch(normalize):
    unit = UNITS[2](16, normalize=normalize).eval()
    assert unit(torch.empty(0, 16, 4, 4)).shape == (0, 16, 4, 4)


@pytest.mark.parametrize(('dim', 'normalize', 'pre_act'), FORMS)
def test_a_new_unit_is_the_identity(dim, normalize, pre_act):
    x = torch.randn(2, 16, *SIZES[dim])
    unit = UNITS[dim](16, normalize=normalize, pre_act=pre_act)
    assert torch.equal(unit.train()(x), x)
    assert torch.equal(unit.eval()(x), x)
    unit(x).square().sum().backward()
    closing = unit.conv_extend.conv if pre_act else unit.blocker
    assert closing.weight.grad.norm() > 0  # but it learns


@pytest.mark.parametrize(
    'norm_layer',
    [
        nn.Identity,
        nn.InstanceNorm2d,
        partial(nn.GroupNorm, 4),
        lambda channels: nn.BatchNorm2d(channels).requires_grad_(False),
    ],
    ids=['none', 'instance', 'group', 'frozen batch'],
)
def test_identity_with_any_closing_norm(norm_layer):
    """And at least one parameter that can learn to change this."""
    unit = GloRe2d(16, norm_layer=norm_layer)
    x = torch.randn(2, 16, 5, 5)
    y = unit(x)
    assert torch.equal(y, x)
    y.square().sum().backward()
    learned = {
        n for n, p in unit.named_parameters() if p.grad is not None and p.grad.any()
    }
    assert learned - {'blocker.bias'}  # a bias would learn even if the unit were dead


def test_a_released_state_dict_loads_unchanged():
    shapes = {
        'conv_state.weight': (8, 16, 1, 1, 1), 'conv_state.bias': (8,),
        'conv_proj.weight': (4, 16, 1, 1, 1), 'conv_proj.bias': (4,),
        'gcn.conv1.weight': (4, 4, 1), 'gcn.conv1.bias': (4,),
        'gcn.conv2.weight': (8, 8, 1),
        'conv_extend.weight': (16, 8, 1, 1, 1),
        'blocker.weight': (16,), 'blocker.bias': (16,),
        'blocker.running_mean': (16,), 'blocker.running_var': (16,),
    }  # fmt: skip
    unit = GloRe3d(16)
    assert unit.blocker.eps == 1e-4
    unit.load_state_dict({key: torch.rand(shape) for key, shape in shapes.items()})


def test_conv_extend_is_fc_2_in_the_released_cityscapes_units():
    state = GloRe2d(16).state_dict()
    renamed = {k.replace('conv_extend', 'fc_2'): v for k, v in state.items()}
    assert renamed.keys() != state.keys()
    network = torch.nn.Sequential(torch.nn.ReLU(), GloRe2d(16))
    network.load_state_dict({f'1.{name}': value for name, value in renamed.items()})
    found = network[1].state_dict()
    assert all(torch.equal(found[name], value) for name, value in state.items())


@pytest.mark.parametrize(
    ('channels', 'states', 'nodes', 'parameters'),
    [(512, 256, 128, 0.411e6), (1024, 512, 256, 1.641e6)],
)
def test_size_equals_the_published_one(channels, states, nodes, parameters):
    unit = GloRe2d(channels)
    assert (unit.num_states, unit.num_nodes) == (states, nodes)
    assert sum(p.numel() for p in unit.parameters()) == pytest.approx(
        parameters, rel=2e-3
    )


@pytest.mark.parametrize('normalize', [False, True])
@pytest.mark.parametrize(
    ('dtype', 'pre_act'),
    [(torch.float16, False), (torch.float16, True), (torch.bfloat16, False)],
)
def test_half_precision_does_not_overflow(dtype, pre_act, normalize):
    """With positive inputs at 512×1024, V would overflow float16 without protection."""
    torch.manual_seed(0)
    unit = randomize(GloRe2d(16, 8, 4, normalize=normalize, pre_act=pre_act)).eval()
    x = torch.randn(1, 16, 512, 1024).abs()
    received = []  # V, from the graph of a unit in direct order
    direct = copy.deepcopy(unit)
    direct.order = 'direct'
    direct.gcn.register_forward_pre_hook(lambda gcn, args: received.append(args[0]))
    with torch.no_grad():
        direct(x)
        if not normalize:
            assert received[0].abs().max() > torch.finfo(torch.float16).max
        with torch.autocast('cpu', dtype):
            y = unit(x) - x
        expected = transcription(
            double(unit.state_dict()), x.double(), normalize, pre_act, training=False
        )
    assert torch.isfinite(y).all()
    assert error(y, expected) < 1e-2


def test_half_precision_weights():
    """A model in bfloat16 runs and returns bfloat16."""
    unit = randomize(GloRe2d(16, normalize=True)).eval()
    x = torch.randn(1, 16, 9, 9)
    y = unit.bfloat16()(x.bfloat16())
    assert y.dtype == torch.bfloat16
    assert torch.isfinite(y).all()


def test_norm_and_conv_layers():
    unit = GloRe3d(16, norm_layer=nn.BatchNorm3d)
    assert (type(unit.blocker), unit.blocker.eps) == (nn.BatchNorm3d, 1e-5)
    pre_act = GloRe2d(16, pre_act=True, norm_layer=nn.BatchNorm2d)
    assert type(pre_act.gcn.conv1.norm) is nn.BatchNorm2d
    assert type(pre_act.blocker) is nn.Identity
    assert pre_act(torch.randn(2, 16, 5, 5)).shape == (2, 16, 5, 5)
    own = GloRe2d(16, conv_layer=Doubled)
    assert type(own.conv_state) is type(own.conv_extend) is Doubled
    assert type(own.gcn.conv1) is nn.Conv1d


class Doubled(nn.Conv2d):
    """A convolution of a user."""

    def forward(self, x):
        return 2 * super().forward(x)


@pytest.mark.parametrize(
    ('build', 'message'),
    [
        (lambda: GloRe2d(3), 'num_nodes must be an integer of at least 1, got 0'),
        (
            lambda: GloRe2d(16, num_nodes=0),
            'num_nodes must be an integer of at least 1, got 0',
        ),
        (
            lambda: GloRe2d('16'),
            "in_channels must be an integer of at least 1, got '16'",
        ),
        (lambda: GloRe2d(16, num_states=2.5), 'num_states must be an .* got 2.5'),
        (lambda: GloRe2d(16, order='fast'), "'direct' or 'reassociated', got 'f"),
        (
            lambda: GloRe2d(16)(torch.zeros(1, 16, 2, 5, 5)),
            r'expects an input of shape \(N, 16, H, W\), got \(1, 16, 2, 5, 5\)',
        ),
        (
            lambda: GloRe3d(16)(torch.zeros(1, 8, 2, 5, 5)),
            r'expects an input of shape \(N, 16, T, H, W\), got \(1, 8, 2, 5, 5\)',
        ),
    ],
)
def test_wrong_arguments(build, message):
    with pytest.raises((TypeError, ValueError), match=message):
        build()


def test_more_nodes_than_positions_gives_one_warning():
    unit = GloRe2d(64, num_nodes=10)
    with pytest.warns(
        UserWarning, match=r'more nodes \(10\) than .* positions \(9'
    ) as w:
        unit(torch.zeros(1, 64, 3, 3))
        unit(torch.zeros(1, 64, 3, 3))
    assert len(w) == 1
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        GloRe2d(64, num_nodes=9)(torch.zeros(1, 64, 3, 3))
