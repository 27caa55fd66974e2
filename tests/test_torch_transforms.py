"""Transformations of PyTorch, applied to units and to networks with units."""

import copy
import io

import onnxruntime
import pytest
import torch
from equations import error, randomize
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.ao.quantization import get_default_qconfig_mapping
from torch.ao.quantization.quantize_fx import prepare_fx
from torch.autograd import forward_ad
from torch.func import functional_call, hessian, jvp, stack_module_state, vmap
from torchvision.models import get_model
from torchvision.models.feature_extraction import create_feature_extractor

from glore_mm import GloRe2d, insert_glore

ORDERS = ['auto', 'direct', 'reassociated']


@pytest.fixture(params=ORDERS)
def unit(request):
    torch.manual_seed(0)
    return randomize(GloRe2d(16, 10, 6, normalize=True, order=request.param)).eval()


@pytest.fixture
def x():
    return torch.randn(2, 16, 9, 8, generator=torch.Generator().manual_seed(1))


@pytest.fixture(scope='module', params=['resnet18', 'vit'])
def network(request):
    """A network with units that are not the identity."""
    torch.manual_seed(0)
    if request.param == 'resnet18':
        placement = dict(layer1=('input',), layer3=2)
        net = insert_glore(get_model('resnet18'), placement, dict(normalize=True))
    else:
        from torchvision.models import VisionTransformer

        net = VisionTransformer(32, 8, 3, 2, 32, 64)
        nn.init.normal_(net.heads.head.weight)
        insert_glore(net, {'encoder.layers': 2}, dict(normalize=True))
    for module in net.modules():
        if isinstance(module, GloRe2d):
            randomize(module)
    return net.eval()


@pytest.fixture
def image():
    return torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(1))


def test_a_trace_takes_inputs_of_other_sizes(unit):
    traced = torch.jit.trace(unit, torch.randn(2, 16, 9, 7), check_trace=False)
    x = torch.randn(1, 16, 12, 20)
    assert error(traced(x), unit(x)) < 1e-5


@pytest.mark.parametrize('strict', [False, True])
def test_an_exported_unit_runs_with_gradients_on(unit, x, strict):
    exported = torch.export.export(unit, (x,), strict=strict).module()
    assert torch.is_grad_enabled()
    assert error(exported(x), unit(x).double()) < 1e-6


def test_an_exported_unit_trains(unit, x):
    unit.train()
    exported = torch.export.export(copy.deepcopy(unit), (x,)).module()
    for module in (unit, exported):
        module(x).square().sum().backward()
    for found, expected in zip(exported.parameters(), unit.parameters(), strict=True):
        assert error(found.grad, expected.grad.double()) < 1e-5
    for found, expected in zip(exported.buffers(), unit.buffers(), strict=True):
        torch.testing.assert_close(found, expected)


@pytest.mark.parametrize('gradients', [False, True])
def test_vmap(unit, gradients):
    samples = torch.randn(3, 2, 16, 9, 8)
    with torch.set_grad_enabled(gradients):
        expected = torch.stack([unit(x) for x in samples])
        assert error(vmap(unit)(samples), expected.double()) < 1e-6


def test_forward_mode_derivatives(unit, x):
    unit, x = unit.double(), x.double()
    direction = torch.randn_like(x)
    step = 1e-6
    expected = (unit(x + step * direction) - unit(x - step * direction)) / (2 * step)
    assert error(jvp(unit, (x,), (direction,))[1], expected) < 1e-6
    with forward_ad.dual_level():
        dual = unit(forward_ad.make_dual(x, direction))
        assert error(forward_ad.unpack_dual(dual).tangent, expected) < 1e-6


def test_hessian(unit):
    x = torch.randn(1, 16, 2, 1)
    found = hessian(lambda x: unit(x).square().sum())(x)
    assert found.shape == (1, 16, 2, 1) * 2 and found.abs().sum() > 0


@pytest.mark.parametrize('gradients', [False, True])
def test_ensemble(unit, x, gradients):
    """As in PyTorch's tutorial, with a module on the meta device."""
    units = [unit, copy.deepcopy(unit)]
    nn.init.normal_(units[1].conv_proj.weight)
    parameters, buffers = stack_module_state(units)
    base = copy.deepcopy(unit).to('meta')

    def call(parameters, buffers):
        return functional_call(base, (parameters, buffers), (x,))

    with torch.set_grad_enabled(gradients):
        found = vmap(call)(parameters, buffers)
    assert error(found, torch.stack([u(x) for u in units]).double()) < 1e-6


@pytest.mark.parametrize('training', [False, True])
def test_meta_device(unit, x, training):
    unit = unit.to('meta').train(training)
    x = x.to('meta').requires_grad_()
    y = unit(x)
    y.sum().backward()
    assert (y.shape, x.grad.shape, y.device.type) == (x.shape, x.shape, 'meta')


@pytest.mark.parametrize('context', [FakeTensorMode, lambda: torch.device('meta')])
@pytest.mark.parametrize('order', ORDERS)
def test_insertion_without_data(context, order):
    with context():
        net = insert_glore(get_model('resnet18'), dict(layer3=2), dict(order=order))
        net(torch.randn(2, 3, 64, 64)).sum().backward()
        assert net.layer3[0].glore.conv_proj.weight.grad.shape == (64, 256, 1, 1)


def test_onnx_at_opset_11(unit, x):
    file = io.BytesIO()
    axes = {'x': {0: 'n', 2: 'h', 3: 'w'}}
    torch.onnx.export(
        unit, (x,), file, dynamo=False, opset_version=11, input_names=['x'],
        dynamic_axes=axes,
    )  # fmt: skip
    session = onnxruntime.InferenceSession(file.getvalue())
    x = torch.randn(3, 16, 5, 11)
    (found,) = session.run(None, {'x': x.numpy()})
    assert error(torch.from_numpy(found), unit(x).detach().double()) < 1e-5


def test_gradients_have_the_strides_of_the_parameters(unit, x):
    """DDP warns about other strides and copies such gradients in each step."""
    last = torch.channels_last
    unit.to(memory_format=last).train()
    unit(x.contiguous(memory_format=last)).sum().backward()
    for parameter in unit.parameters():
        assert parameter.grad.stride() == parameter.stride()


def test_torch_fx_does_not_trace_into_a_unit(unit, x):
    traced = torch.fx.symbolic_trace(nn.Sequential(unit, nn.ReLU()))
    assert [node.op for node in traced.graph.nodes].count('call_module') == 2
    assert torch.equal(traced(x), unit(x).relu())
    with pytest.raises(TypeError, match='trace a module that contains it'):
        torch.fx.symbolic_trace(unit)


def test_script_raises_one_line(unit, network):
    for module in (unit, network):
        with pytest.raises(NotImplementedError, match='cannot be scripted: use torch'):
            torch.jit.script(module)


@pytest.mark.slow
@torch.no_grad()  # as torch's attention has another path with gradients off
def test_networks(network, image):
    """Each transform has the same output as the network."""
    dynamic = {0: torch.export.Dim('batch', min=1, max=64)}
    exported = torch.export.export(network, (image,), dynamic_shapes=(dynamic,))
    transformed = dict(
        trace=torch.jit.trace(network, image[:1]),
        export=exported.module(),
        compile=torch.compile(network, backend='aot_eager', fullgraph=True),
        fx=torch.fx.symbolic_trace(network) if hasattr(network, 'layer3') else network,
    )
    expected = network(image).double()
    for name, module in transformed.items():
        assert error(module(image), expected) < 1e-5, name


def test_features_of_torchvision():
    torch.manual_seed(0)
    net = insert_glore(get_model('swin_t'), {'features.5': 3}).eval()
    randomize(net.features[5][0].glore)
    image = torch.randn(1, 3, 64, 64)
    features = create_feature_extractor(net, ['features.5.0.glore', 'head'])(image)
    assert features['features.5.0.glore'].shape == (1, 384, 4, 4)
    assert torch.equal(features['head'], net(image))


def test_quantization_leaves_units_in_float(image):
    net = insert_glore(get_model('resnet18'), dict(layer3=2)).eval()
    mapping = get_default_qconfig_mapping('x86')
    prepared = prepare_fx(copy.deepcopy(net), mapping, (image,))
    assert error(prepared(image), net(image).double()) < 1e-5
