"""`order='reassociated'`: the same function as the equations, with another cost."""

import copy
import subprocess
import sys
from functools import partial

import pytest
import torch
from equations import SIZES, UNITS, error, randomize
from mmcv.cnn import ConvWS2d, fuse_conv_bn
from torch import nn
from torch.nn.utils import parametrizations
from torch.utils._python_dispatch import TorchDispatchMode

from glore_mm import GloRe2d, GloRe3d
from glore_mm.analysis.cost import count_flops
from glore_mm.unit import GraphConv


def pair(dim=2, channels=16, states=10, nodes=6, **options):
    """The same unit in direct and in reassociated order."""
    units = [
        randomize(UNITS[dim](channels, states, nodes, order=order, **options))
        for order in ('direct', 'reassociated')
    ]
    return units[0], units[1]


def step(unit, x, grad):
    """Y and every gradient of one step."""
    x = x.clone().requires_grad_()
    out = unit(x)
    leaves = [x, *(p for p in unit.parameters() if p.requires_grad)]
    found = torch.autograd.grad(out, leaves, grad, allow_unused=True)
    return [(out - x).detach(), *(g for g in found if g is not None)]


def assert_same_step(direct, other, x, limit):
    grad = torch.randn_like(x)
    expected, found = step(direct, x, grad), step(other, x, grad)
    assert len(found) == len(expected)
    for a, b in zip(found, expected, strict=True):
        assert error(a, b.double()) < limit
    for a, b in zip(other.buffers(), direct.buffers(), strict=True):
        torch.testing.assert_close(a, b, rtol=limit, atol=limit)


@pytest.mark.parametrize('training', [False, True])
@pytest.mark.parametrize('normalize', [False, True])
@pytest.mark.parametrize('dim', [1, 2, 3])
def test_orders_agree(dim, normalize, training):
    torch.manual_seed(0)
    direct, other = pair(dim, normalize=normalize)
    x = torch.randn(3, 16, *SIZES[dim])
    direct.train(training), other.train(training)
    for _ in range(3):  # the running statistics are updated
        assert_same_step(direct, other, x, 1e-5)
    other.load_state_dict(direct.state_dict())
    direct.double(), other.double()
    assert_same_step(direct, other, x.double(), 1e-12)
    with torch.no_grad():
        assert error(other(x.double()) - x, direct(x.double()) - x) < 1e-12


@pytest.mark.parametrize(
    'options',
    [
        dict(norm_layer=nn.Identity),
        dict(norm_layer=partial(nn.GroupNorm, 4)),
        dict(norm_layer=nn.InstanceNorm2d),
        dict(norm_layer=nn.SyncBatchNorm),
        dict(norm_layer=partial(nn.BatchNorm2d, affine=False)),
        dict(norm_layer=partial(nn.BatchNorm2d, momentum=None)),
        dict(norm_layer=partial(nn.BatchNorm2d, track_running_stats=False)),
        dict(norm_layer=lambda c: nn.BatchNorm2d(c).requires_grad_(False)),
        dict(pre_act=True),
    ],
    ids=lambda options: next(iter(options)),
)
@pytest.mark.parametrize('training', [False, True])
def test_orders_agree_for_all_options(options, training):
    torch.manual_seed(0)
    direct, other = pair(**options)
    x = torch.randn(3, 16, 7, 6, dtype=torch.float64)
    direct.double().train(training), other.double().train(training)
    for _ in range(2):
        assert_same_step(direct, other, x, 1e-12)
    with torch.no_grad():
        assert error(other(x) - x, direct(x) - x) < 1e-12


def macs(unit, x):
    return count_flops(unit, x).macs


@pytest.mark.parametrize(
    ('size', 'cheaper'),
    [
        ((3, 3), 'direct'),
        ((4, 5), 'direct'),
        ((5, 5), 'reassociated'),
        ((9, 9), 'reassociated'),
    ],
)
def test_auto_takes_the_cheaper_order(size, cheaper):
    """With C = 4K and S = 2K, both cost the same at L = 4K/3, here 21.3."""
    x = torch.randn(2, 64, *size)
    found = {
        o: macs(GloRe2d(64, order=o).eval(), x) for o in ('direct', 'reassociated')
    }
    assert min(found, key=found.get) == cheaper
    assert macs(GloRe2d(64).eval(), x) == found[cheaper]


class Doubled(nn.Conv2d):
    def forward(self, x):
        return 2 * super().forward(x)


def hooked(unit):
    unit.conv_state.register_forward_hook(lambda module, args, out: 2 * out)


def hooked_before(unit):
    unit.conv_extend.register_forward_pre_hook(lambda module, args: (2 * args[0],))


def hooked_in_the_graph(unit):
    unit.gcn.register_forward_hook(lambda module, args, out: 2 * out)


def hooked_norm(unit):
    unit.blocker.register_forward_hook(lambda module, args, out: 2 * out)


def parametrized(unit):
    parametrizations.weight_norm(unit.conv_state)
    unit.conv_state.parametrizations.weight.original0.data *= 2


def old_weight_norm(unit):
    nn.utils.spectral_norm(unit.conv_extend)


def replaced(unit):
    conv = Doubled(16, 6, 1)
    conv.load_state_dict(unit.conv_proj.state_dict())
    unit.conv_proj = conv


def wrapped(unit):
    unit.conv_extend = nn.Sequential(unit.conv_extend, nn.Tanh())


def patched(unit):
    forward = unit.conv_state.forward
    unit.conv_state.forward = lambda x: 2 * forward(x)


def quantized(unit):
    qconfig = torch.ao.quantization.get_default_qat_qconfig('x86')
    unit.conv_state.qconfig = qconfig
    unit.conv_state = torch.ao.nn.qat.Conv2d.from_float(unit.conv_state)


class Damped(GraphConv):
    def forward(self, nodes):
        return super().forward(nodes) / 2


def another_graph(unit):
    unit.gcn.__class__ = Damped


def fused(unit):
    """As OpenMMLab fuses for inference: the norm is folded into the convolution."""
    unit.blocker.running_mean += 1
    fuse_conv_bn(unit)


def another_activation(unit):
    unit.gcn.relu = nn.GELU()


@pytest.mark.parametrize(
    'change',
    [
        hooked,
        hooked_before,
        hooked_in_the_graph,
        hooked_norm,
        parametrized,
        old_weight_norm,
        replaced,
        wrapped,
        patched,
        quantized,
        another_activation,
        another_graph,
        fused,
    ],
)
@pytest.mark.parametrize('training', [False, True])
def test_changed_layers_are_respected(change, training):
    torch.manual_seed(0)
    x = torch.randn(2, 16, 7, 6)
    direct, other = pair()
    plain = direct.eval()(x).detach()
    for unit in (direct, other):
        torch.manual_seed(0)
        change(unit)
    direct.eval()
    assert (direct(x) - plain).norm() > 1e-3 * plain.norm()
    direct.train(training), other.train(training)
    expected = direct(x) - x
    assert error(other(x) - x, expected) < 1e-5
    with torch.no_grad():
        direct.eval(), other.eval()
        assert error(other(x) - x, direct(x) - x) < 1e-5


def test_weight_standardisation_takes_the_direct_order():
    torch.manual_seed(0)
    direct, other = pair(conv_layer=ConvWS2d)
    assert_same_step(direct, other, torch.randn(2, 16, 7, 6), 1e-5)


def test_variance_where_the_mean_is_large():
    """B has a mean of 100 deviations; a Gram matrix of B would lose four digits."""
    torch.manual_seed(0)
    direct, other = pair(channels=32, states=16, nodes=8)
    x = torch.randn(2, 32, 40, 40)
    deviation = direct.project(x).std(dim=(0, 2, 3))
    for unit in (direct, other):
        unit.conv_proj.bias.data = 100 * deviation
    exact = copy.deepcopy(direct).double()
    expected = exact(x.double()) - x
    assert error(other(x).detach() - x, expected.detach()) < 1e-4
    b = other.project(x).flatten(2).double()
    torch.testing.assert_close(
        other.blocker.running_var.double(), exact.blocker.running_var, rtol=1e-4, atol=0
    )
    assert (b.mean(2) / b.std(2)).min() > 50


def kept_bytes(unit, x):
    """Memory that autograd keeps for the backward pass, without parameters, input."""
    storages = {}

    def pack(tensor):
        storage = tensor.untyped_storage()
        storages[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        out = unit(x)
    apart = (x, *unit.parameters(), *unit.buffers())
    known = {t.untyped_storage().data_ptr() for t in apart}
    assert out.requires_grad
    return sum(size for place, size in storages.items() if place not in known)


@pytest.mark.parametrize('norm', ['batch', 'sync'])
@pytest.mark.parametrize(
    ('unit', 'size', 'bound'),
    [
        ((GloRe2d, 512, 128, 64), (1, 512, 128, 256), 0.2),
        ((GloRe3d, 1024, 512, 256), (1, 1024, 8, 14, 14), 0.35),
    ],
)
def test_memory_for_the_backward_pass(unit, size, bound, norm):
    kind, *sizes = unit
    x = torch.randn(size).requires_grad_()
    norm_layer = None if norm == 'batch' else nn.SyncBatchNorm
    kept = kept_bytes(kind(*sizes, norm_layer=norm_layer), x)
    assert x.numel() * 4 * 0.1 < kept <= bound * x.numel() * 4
    more = kept_bytes(kind(*sizes, norm_layer=norm_layer, order='direct'), x)
    assert more > 1.5 * x.numel() * 4


PEAK = """
import sys, torch
from glore_mm import GloRe2d
torch.set_num_threads(2)
def peak():
    lines = open('/proc/self/status').read().splitlines()
    return next(int(l.split()[1]) for l in lines if l.startswith('VmHWM')) * 1024
unit = GloRe2d(512, 128, 64).eval()
x = torch.randn(1, 512, 128, 256)
if sys.argv[1] == 'last':
    x = x.contiguous(memory_format=torch.channels_last)
with torch.no_grad():
    unit(x[..., :8, :64].contiguous())
    open('/proc/self/clear_refs', 'w').write('5')
    before = peak()
    out = unit(x)
print((peak() - before) / (x.numel() * 4))
"""


@pytest.mark.skipif(sys.platform != 'linux', reason='reads /proc')
@pytest.mark.parametrize('layout', ['first', 'last'])
def test_inference_allocates_little_besides_its_output(layout):
    """Peak memory of the process, in sizes of X; 1 is the output."""
    command = [sys.executable, '-c', PEAK, layout]
    ran = subprocess.run(command, capture_output=True, text=True, check=True)
    assert 1 < float(ran.stdout) < 1.75


class Largest(TorchDispatchMode):
    """Records the largest copied tensor, and the largest one in float32."""

    def __init__(self):
        super().__init__()
        self.copied = self.float32 = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        if isinstance(out, torch.Tensor):
            name = func.overloadpacket.__name__
            if name in ('clone', 'copy_', '_to_copy', 'contiguous'):
                self.copied = max(self.copied, out.numel())
            if out.dtype == torch.float32:
                self.float32 = max(self.float32, out.numel())
        return out


@pytest.mark.parametrize('order', ['direct', 'reassociated'])
@pytest.mark.parametrize('training', [False, True])
@pytest.mark.parametrize('dim', [2, 3])
def test_channels_last_is_not_copied(dim, training, order):
    torch.manual_seed(0)
    layout = {2: torch.channels_last, 3: torch.channels_last_3d}[dim]
    unit = randomize(UNITS[dim](64, 32, 8, order=order)).train(training)
    x = torch.randn(2, 64, *{2: (24, 20), 3: (6, 10, 8)}[dim])
    last = x.contiguous(memory_format=layout).requires_grad_()
    assert not last.is_contiguous()
    with Largest() as largest:
        out = unit(last)
        grad = torch.randn_like(out)
        assert grad.is_contiguous(memory_format=layout)
        (found,) = torch.autograd.grad(out, last, grad)
        with torch.no_grad():
            folded = unit.eval()(last)
    assert folded.is_contiguous(memory_format=layout)
    if order == 'reassociated':
        assert found.is_contiguous(memory_format=layout)
        assert largest.copied < x.numel() / 2
    unit.train(training)
    x.requires_grad_()
    expected = torch.autograd.grad(unit(x), x, grad)[0]
    assert error(found, expected.double()) < 1e-5


@pytest.mark.parametrize('order', ['direct', 'reassociated'])
def test_bfloat16_in_channels_last(order):
    torch.manual_seed(0)
    unit = randomize(GloRe2d(64, 32, 8, order=order))
    x = torch.randn(2, 64, 12, 10, dtype=torch.bfloat16)
    weight = torch.randn(x.shape, dtype=x.dtype)
    results = []
    for layout in (torch.contiguous_format, torch.channels_last):
        part = x.detach().contiguous(memory_format=layout).requires_grad_()
        with torch.autocast('cpu', torch.bfloat16):
            out = unit(part)
        assert out.is_contiguous(memory_format=layout)
        results.append((out, *torch.autograd.grad(out, part, weight)))
    for first, last in zip(*results, strict=True):
        assert error(last, first.double()) < 0.01


@pytest.mark.parametrize('normalize', [False, True])
@pytest.mark.parametrize('order', ['direct', 'reassociated'])
def test_mixed_precision(order, normalize):
    torch.manual_seed(0)
    unit = randomize(GloRe2d(64, 32, 8, normalize=normalize, order=order))
    x = torch.randn(2, 64, 24, 20)
    grad = torch.randn_like(x)
    expected = step(copy.deepcopy(unit).double(), x.double(), grad.double())
    exact = copy.deepcopy(unit.state_dict())
    with torch.autocast('cpu', torch.bfloat16):
        found = step(unit, x.bfloat16(), grad.bfloat16())
    for a, b in zip(found, expected, strict=True):
        assert error(a, b) < 0.1
    unit.load_state_dict(exact)
    with Largest() as largest, torch.autocast('cpu', torch.bfloat16), torch.no_grad():
        unit.eval()(x.bfloat16())
    if order == 'reassociated' or normalize:
        assert largest.float32 < 2 * 8 * 24 * 20  # not even a map of the nodes


@pytest.mark.parametrize('size', [1, 1e-4])
def test_gradients_in_float16(size):
    """With a loss that is not scaled, gradients do not vanish."""
    torch.manual_seed(0)
    direct, other = pair(channels=64, states=32, nodes=8, normalize=True)
    x, grad = torch.randn(2, 2, 64, 24, 20)
    grad = size * grad
    expected = step(copy.deepcopy(direct).double(), x.double(), grad.double())
    with torch.autocast('cpu', torch.float16):
        found = step(other, x.half(), grad.half())
        before = step(direct, x.half(), grad.half())
    for a, b, c in zip(found, expected, before, strict=True):
        assert error(a, b) < max(0.02, 1.5 * error(c, b))


def test_empty_batch():
    direct, other = pair()
    state = copy.deepcopy(other.state_dict())
    for unit in (direct, other):
        for training in (True, False):
            assert unit.train(training)(torch.zeros(0, 16, 7, 6)).shape[0] == 0
    for key in ('blocker.running_mean', 'blocker.running_var'):
        assert torch.equal(other.state_dict()[key], state[key])


def change_tracking(norm):
    norm.track_running_stats = False


def forget_count(norm):
    norm.num_batches_tracked = None


@pytest.mark.parametrize('change', [change_tracking, forget_count])
def test_statistics_are_updated_as_by_the_norm(change):
    torch.manual_seed(0)
    direct, other = pair()
    x = torch.randn(2, 16, 7, 6)
    for unit in (direct, other):
        change(unit.blocker)
        unit(x)
    for a, b in zip(other.buffers(), direct.buffers(), strict=True):
        torch.testing.assert_close(a, b)


def test_only_required_gradients_are_computed():
    torch.manual_seed(0)
    direct, other = pair()
    x = torch.randn(2, 16, 7, 6)
    for unit in (direct, other):
        unit.conv_proj.requires_grad_(False)
        unit(x).square().sum().backward()
        assert unit.conv_proj.weight.grad is None
    for a, b in zip(other.parameters(), direct.parameters(), strict=True):
        if a.requires_grad:
            assert error(a.grad, b.grad.double()) < 1e-5
    frozen = other.requires_grad_(False)
    assert frozen(x).grad_fn is None
    x.requires_grad_()
    found, expected = (
        torch.autograd.grad(unit(x).square().sum(), x)[0] for unit in (other, direct)
    )
    assert error(found, expected.double()) < 1e-5


def test_gradients_accumulate():
    torch.manual_seed(0)
    direct, other = pair()
    batches = torch.randn(3, 2, 16, 7, 6)
    for unit in (direct, other):
        for x in batches:
            unit(x).square().mean().backward()
    for a, b in zip(other.parameters(), direct.parameters(), strict=True):
        assert error(a.grad, b.grad.double()) < 1e-5


def test_second_derivatives():
    _, other = pair()
    x = torch.randn(2, 16, 7, 6, requires_grad=True)
    (grad,) = torch.autograd.grad(other(x).sum(), x, create_graph=True)
    with pytest.raises(RuntimeError, match="set unit.order = 'direct'"):
        grad.square().sum().backward()
    other.order = 'direct'
    (grad,) = torch.autograd.grad(other(x).sum(), x, create_graph=True)
    grad.square().sum().backward()


def test_one_position_has_no_variance():
    _, other = pair()
    with pytest.raises(ValueError, match='more than one position.*1, 16, 1, 1'):
        other(torch.randn(1, 16, 1, 1))


@pytest.mark.parametrize('training', [False, True])
def test_compiles_under_autocast(training):
    torch.manual_seed(0)
    unit = randomize(GloRe2d(16, 10, 6, order='reassociated', normalize=True))
    unit.train(training)
    x = torch.randn(2, 16, 7, 6).bfloat16()
    grad = torch.randn_like(x)
    torch._dynamo.reset()
    compiled = torch.compile(copy.deepcopy(unit), backend='aot_eager', fullgraph=True)
    with torch.autocast('cpu', torch.bfloat16):
        expected, found = step(unit, x, grad), step(compiled, x, grad)
    for a, b in zip(found, expected, strict=True):
        assert error(a, b.double()) < 0.05


@pytest.mark.parametrize('order', ['direct', 'reassociated'])
def test_traces_with_and_without_gradients_are_equal(order):
    torch.manual_seed(0)
    unit = randomize(GloRe2d(16, 10, 6, order=order)).eval()
    x, other = torch.randn(2, 2, 16, 7, 6)
    traced = torch.jit.trace(unit, x)  # torch checks a trace without gradients
    assert error(traced(other), unit(other).double()) < 1e-5


@pytest.mark.parametrize('training', [False, True])
@pytest.mark.parametrize('order', ['direct', 'reassociated'])
def test_compiles_as_one_graph(order, training):
    torch.manual_seed(0)
    unit = randomize(GloRe2d(16, 10, 6, order=order)).train(training)
    x = torch.randn(2, 16, 7, 6)
    grad = torch.randn_like(x)
    torch._dynamo.reset()
    compiled = torch.compile(copy.deepcopy(unit), backend='aot_eager', fullgraph=True)
    expected, found = step(unit, x, grad), step(compiled, x, grad)
    for a, b in zip(found, expected, strict=True):
        assert error(a, b.double()) < 1e-5
    with torch.no_grad():
        unit.eval(), compiled.eval()
        assert error(compiled(x), unit(x).double()) < 1e-5


RANKS = """
import os, sys, torch, torch.distributed as dist
from functools import partial
from torch import nn
from torch.nn.parallel import DistributedDataParallel
from glore_mm import GloRe2d
folder, rank = sys.argv[1], int(sys.argv[2])
torch.set_num_threads(1)
dist.init_process_group('gloo', f'file://{folder}/store', rank=rank, world_size=2)
case = torch.load(f'{folder}/case.pt')
norm = partial(nn.SyncBatchNorm, eps=1e-4)
unit = GloRe2d(16, 10, 6, order='reassociated', norm_layer=norm)
unit.double().load_state_dict(case['state'])
x = case['x'].split(case['split'])[rank].requires_grad_()
grad = case['grad'].split(case['split'])[rank]
out = unit(x)
out.backward(grad)
bare = GloRe2d(16, 10, 6, order='reassociated', norm_layer=nn.Identity).double()
bare.load_state_dict(case['bare'])
net = DistributedDataParallel(bare)
net(x.detach()).backward(grad)
# inputs for which one process alone would take the direct order, the other not
norm = nn.SyncBatchNorm
alike = [GloRe2d(16, norm_layer=norm, order=o) for o in ('auto', 'reassociated')]
alike[1].load_state_dict(alike[0].state_dict())
size = (2, 2) if rank else (9, 9)
with torch.no_grad():
    y = [unit(torch.ones(1, 16, *size).cumsum(3)) for unit in alike]
torch.testing.assert_close(*y)
torch.save(dict(
    bare=[p.grad for p in bare.parameters()],
    out=out.detach(), x=x.grad, state=unit.state_dict(),
    grads=[p.grad for p in unit.parameters()],
), f'{folder}/rank{rank}.pt')
dist.destroy_process_group()  # else gloo's threads abort the exit now and then
"""


@pytest.mark.parametrize('split', [[2, 2], [1, 3]], ids=str)
def test_two_processes_equal_one_with_the_whole_batch(split, tmp_path):
    """With sync batch norm; in DDP without it, as it needs GPUs there."""
    torch.manual_seed(0)
    bare = randomize(
        GloRe2d(16, 10, 6, norm_layer=nn.Identity, order='direct')
    ).double()
    unit = randomize(GloRe2d(16, 10, 6, order='direct')).double()
    x = torch.randn(4, 16, 7, 6, dtype=torch.float64)
    grad = torch.randn_like(x)
    case = dict(x=x, grad=grad, split=split, bare=bare.state_dict())
    case['state'] = copy.deepcopy(unit.state_dict())
    torch.save(case, tmp_path / 'case.pt')
    ranks = [
        subprocess.Popen([sys.executable, '-c', RANKS, tmp_path, str(rank)])
        for rank in (0, 1)
    ]
    assert [rank.wait(timeout=120) for rank in ranks] == [0, 0]
    y, d_x, *grads = step(unit, x, grad)
    found = [torch.load(tmp_path / f'rank{rank}.pt') for rank in (0, 1)]
    assert error(torch.cat([f['out'] for f in found]) - x, y) < 1e-12
    assert error(torch.cat([f['x'] for f in found]), d_x) < 1e-12
    for *each, whole in zip(*(f['grads'] for f in found), grads, strict=True):
        assert error(sum(each), whole) < 1e-12
    _, _, *grads = step(bare, x, grad)
    for rank in found:
        for a, b in zip(rank['bare'], grads, strict=True):
            assert error(2 * a, b) < 1e-12  # DDP averages over ranks
    for rank in found:
        for key, value in unit.state_dict().items():
            torch.testing.assert_close(rank['state'][key], value)
