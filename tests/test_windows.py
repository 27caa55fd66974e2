"""Units and networks in windows: equal to one pass over the whole input."""

import pytest
import torch
from torch import nn
from torchvision.models import swin_t

import glore_mm
from glore_mm.insertion import find_units
from glore_mm.windows import CACHES, WindowGrid, forward_windows

SIZES = {1: (23,), 2: (9, 14), 3: (4, 6, 5)}
CONV = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
NORM = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)


def make_unit(dim, channels=12, **kwargs):
    unit = (glore_mm.GloRe1d, glore_mm.GloRe2d, glore_mm.GloRe3d)[dim - 1](
        channels, num_states=6, num_nodes=4, **kwargs
    )
    randomize(unit)
    return unit.eval()


def randomize(module):
    """Set all weights and running statistics, as if the network were trained."""
    for name, value in module.state_dict().items():
        if name.endswith('running_var'):
            value.uniform_(0.5, 2)
        elif value.is_floating_point():
            value.normal_(std=0.3)


def assert_equal(found, expected, tolerance=1e-6):
    assert (found - expected).abs().max() <= tolerance * expected.abs().max()


def split(x, sizes):
    """Cut the first spatial dimension into windows of these sizes."""
    return torch.split(x, sizes, dim=2)


FORMS = [dict(), dict(normalize=True), dict(pre_act=True, normalize=True)]


@pytest.mark.parametrize('dim', [1, 2, 3])
@pytest.mark.parametrize('form', FORMS)
def test_a_unit_in_unequal_windows(dim, form):
    torch.manual_seed(0)
    unit, x = make_unit(dim, **form), torch.randn(2, 12, *SIZES[dim])
    first = SIZES[dim][0] // 3
    windows = split(x, [first, SIZES[dim][0] - first])
    with torch.no_grad():
        sums = sum(unit.gather(window) for window in windows)
        found = torch.cat([unit.distribute(w, sums) for w in windows], 2)
        assert_equal(found, unit(x))
    assert sums.positions == x[0, 0].numel()


def test_the_sums_are_those_of_the_equations():
    unit, x = make_unit(2).double(), torch.randn(1, 12, 5, 7).double()
    weight = torch.rand(5, 7).double()
    with torch.no_grad():
        sums = unit.gather(x, weight)
        b = (unit.project(x) * weight).flatten(2)
        v = unit.conv_state(x).flatten(2) @ b.transpose(1, 2)
    assert_equal(sums.states, v, 1e-14)
    assert sums.positions == pytest.approx(weight.sum().item(), rel=1e-6)


class Network(nn.Module):
    """Pointwise layers, which see no borders, around two units that are in a row."""

    def __init__(self, dim, **form):
        super().__init__()
        conv, norm = CONV[dim - 1], NORM[dim - 1]
        self.stem = nn.Sequential(conv(3, 12, 1), norm(12), nn.ReLU(inplace=True))
        self.blocks = nn.ModuleList(
            nn.Sequential(conv(12, 12, 1), norm(12), make_unit(dim, **form))
            for _ in range(2)
        )
        self.relu = nn.ReLU(inplace=True)  # called two times
        self.head = conv(24, 5, 1)
        randomize(self)
        self.eval()

    def forward(self, x):
        x = self.stem(x)
        outputs = []
        for block in self.blocks:
            identity = x
            x = block(x)
            x += identity
            outputs.append(self.relu(x))
        return self.head(torch.cat(outputs, 1))


def in_windows(network, x, grid, **kwargs):
    """Run a network on windows; predictions of overlaps are averaged."""
    out = x.new_zeros(len(x), 5, *x.shape[2:])
    runs = []

    def run(index):
        runs.append(index)
        return network(x[(..., *grid[index])])

    outputs = forward_windows(network, run, len(grid), grid.weight, **kwargs)
    for index, output in enumerate(outputs):
        out[(..., *grid[index])] += output * grid.weight(index, output.shape[2:])
    return out, runs


@pytest.mark.parametrize('dim', [1, 2, 3])
@pytest.mark.parametrize('form', FORMS)
@pytest.mark.parametrize('cache', CACHES)
def test_a_network_in_overlapping_windows(dim, form, cache):
    torch.manual_seed(1)
    network, x = Network(dim, **form), torch.randn(2, 3, *SIZES[dim])
    size = [n // 2 for n in SIZES[dim]]
    grid = WindowGrid(SIZES[dim], size, [max(1, n - 1) for n in size])
    with torch.no_grad():
        found, runs = in_windows(network, x, grid, cache=cache)
        assert_equal(found, network(x), 2e-6)
    assert runs == 3 * list(range(len(grid)))  # two units, and to the end


@pytest.mark.parametrize('cache', ['memory', 'disk'])
def test_cached_layers_run_once(cache):
    torch.manual_seed(2)
    network, x = Network(2), torch.randn(1, 3, 9, 14)
    seen = []
    for name, layer in (('stem', network.stem[0]), ('block', network.blocks[1][0])):
        layer.forward = lambda x, name=name, forward=layer.forward: (
            seen.append(name),
            forward(x),
        )[1]
    in_windows(network, x, WindowGrid((9, 14), (9, 7), (9, 7)), cache=cache)
    assert seen == ['stem'] * 2 + ['block'] * 2


@pytest.mark.parametrize('cache', CACHES)
def test_one_window_of_a_transformer_is_the_whole_input(cache):
    """Its units are in modules whose outputs are tokens."""
    torch.manual_seed(4)
    net = glore_mm.insert_glore(swin_t(), {'features.5': 2}, dict(num_nodes=4)).eval()
    for unit in find_units(net).values():
        nn.init.normal_(unit.closing_weight)
    x = torch.randn(1, 3, 64, 64)
    (found,) = forward_windows(net, lambda _: net(x), 1, cache=cache)
    with torch.no_grad():
        assert_equal(found, net(x), 1e-5)


class Tokens(nn.Module):
    """Patches as tokens, with a unit that does not know their height and width."""

    def __init__(self):
        super().__init__()
        self.patches = nn.Conv2d(3, 12, 4, 4)
        self.blocks = nn.Sequential(nn.Linear(12, 12), nn.Linear(12, 5))
        glore_mm.insert_glore(self, ['blocks.0'], dict(num_nodes=4))
        randomize(self)
        self.eval()

    def forward(self, x):
        x = self.patches(x)
        tokens = self.blocks(x.flatten(2).transpose(1, 2))
        y = tokens.transpose(1, 2).unflatten(2, x.shape[2:])
        return y.repeat_interleave(4, 2).repeat_interleave(4, 3)


@pytest.mark.parametrize('window', [(16, 32), (32, 8), (8, 32), (16, 16)])
def test_tokens_in_overlapping_windows(window):
    """8 × 32 pixels are 2 × 8 tokens, which a unit sees as 4 × 4."""
    network, x = Tokens(), torch.randn(2, 3, 32, 64)
    grid = WindowGrid((32, 64), window, [max(4, side - 4) for side in window])
    with torch.no_grad():
        found, _ = in_windows(network, x, grid)
        assert_equal(found, network(x), 2e-6)


@pytest.mark.parametrize('cache', CACHES)
def test_features_that_hooks_collect(cache):
    torch.manual_seed(2)
    network, x = Network(2), torch.randn(1, 3, 9, 14)
    seen = []
    network.stem[1].register_forward_hook(lambda _, inputs, y: seen.append(y.clone()))
    collected = []

    def run(index):
        seen.clear()
        output = network(x[(..., *grid[index])])
        collected.extend(seen)
        return output

    grid = WindowGrid((9, 14), (9, 7), (9, 7))
    list(forward_windows(network, run, 2, grid.weight, cache))
    with torch.no_grad():
        for index, found in enumerate(collected[-2:]):
            part = x[(..., *grid[index])]
            assert_equal(found, network.stem[1](network.stem[0](part)))


def test_the_network_is_left_unchanged():
    network, x = Network(2), torch.randn(1, 3, 9, 14)
    before = {name: set(vars(m)) for name, m in network.named_modules()}
    grid = WindowGrid((9, 14), (5, 5), (4, 4))
    outputs = forward_windows(network, lambda i: network(x), len(grid))
    next(outputs)
    assert torch.is_grad_enabled()
    assert {name: set(vars(m)) for name, m in network.named_modules()} == before
    with pytest.raises(ZeroDivisionError):
        list(forward_windows(network, lambda i: 1 / 0, 1))
    assert {name: set(vars(m)) for name, m in network.named_modules()} == before


def test_in_inference_mode():
    network = Network(2)
    with torch.inference_mode():
        x = torch.randn(1, 3, 9, 14)
        grid = WindowGrid((9, 14), (9, 7), (9, 7))
        found, _ = in_windows(network, x, grid, cache='memory')
        assert_equal(found, network(x), 2e-6)


def test_windows_without_a_shared_node_differ():
    torch.manual_seed(3)
    network, x = Network(2), torch.randn(1, 3, 8, 8)
    with torch.no_grad():
        whole = network(x)
        windows = torch.cat([network(w) for w in split(x, [4, 4])], 2)
    assert (windows - whole).abs().max() > 1e-3 * whole.abs().max()


def test_grid_as_in_mmsegmentation():
    grid = WindowGrid((10, 7), (4, 8), (3, 5))
    assert [tuple((s.start, s.stop) for s in window) for window in grid] == [
        ((0, 4), (0, 7)), ((3, 7), (0, 7)), ((6, 10), (0, 7))
    ]  # fmt: skip
    total = torch.zeros(10, 7)
    for index, window in enumerate(grid):
        total[window] += grid.weight(index, (4, 7))
    torch.testing.assert_close(total, torch.ones(10, 7))
    # half of the positions of a smaller map are in two windows
    torch.testing.assert_close(
        grid.weight(1, (4, 1))[:, 0], torch.tensor([0.5, 1, 1, 0.5])
    )


@pytest.mark.parametrize(
    ('call', 'message'),
    [
        (lambda: WindowGrid((9, 9), (4, 4), (5, 4)), r'stride=\(5, 4\) and window=\(4'),
        (lambda: WindowGrid((9, 9), (4,), (4,)), 'each of 2 dimensions'),
        (lambda: WindowGrid((9, 9), (4, 8), (3, 8)).weight(0, (7,)), '7 tokens have no '
         'grid with the proportions of a window of 4×8'),
        (lambda: next(forward_windows(nn.ReLU(), print, 1)), 'ReLU has no GloRe unit'),
        (lambda: next(forward_windows(Network(1), print, 1, cache='ram')), "got 'ram'"),
        (lambda: make_unit(2).train().gather(torch.ones(1, 12, 3, 3)),
         r'GloRe2d: blocker is BatchNorm2d.*call eval\(\)'),
        (lambda: make_unit(2, norm_layer=lambda c: nn.GroupNorm(2, c)).gather(
            torch.ones(1, 12, 3, 3)), 'blocker is GroupNorm.*Use a batch norm'),
    ],
)  # fmt: skip
def test_errors(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_windows_that_take_another_way():
    network = nn.ModuleList([make_unit(1), make_unit(1)])
    with pytest.raises(
        RuntimeError, match='does not run through the same units in win'
    ):
        list(forward_windows(network, lambda i: network[i](torch.ones(1, 12, 6)), 2))
