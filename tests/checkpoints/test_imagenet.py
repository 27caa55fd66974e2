"""ImageNet checkpoints of the release, against MXNet's logits.

The files in tests/data/mxnet are from scripts/mxnet_reference.py: MXNet's own files of
narrow networks with random weights, and their logits in double precision.

"""

import json
import shutil
import tarfile
from pathlib import Path

import numpy as np
import pytest
import torch
from mxnet_files import params_bytes

from glore_mm.apis.convert import convert_checkpoint
from glore_mm.checkpoints.files import read_checkpoint
from glore_mm.checkpoints.imagenet import our_name
from glore_mm.checkpoints.mxnet import read_mxnet_checkpoint
from glore_mm.config.build import build_model
from glore_mm.config.load import load_config
from glore_mm.utils.errors import UserError

DATA = Path(__file__).parent.parent / 'data' / 'mxnet'
NARROW = """
    model = dict(
        backbone=dict(
            backbone=dict(base_channels=4, stage_blocks=(1, 3, 5, 1)),
            placement=dict(_delete_=True, {places}),
        ),
        head=dict(in_channels=128, num_classes=10, topk=(1,)),
    )
"""
TWO_THREE = 'layer2=(0, 2), layer3=(0, 2, 4)'


@pytest.fixture
def narrow(tmp_path):
    """Write the config of a narrow network, with further lines from `edits`."""

    def narrow(base='glore_r50_2-3', places=TWO_THREE, **options):
        path = tmp_path / f'{base}.py'
        text = NARROW.format(places=places).replace('\n    ', '\n')
        path.write_text(f"_base_ = 'glore_mm::cls/{base}_imagenet.py'\n{text}")
        return load_config(str(path), options)

    return narrow


def logits_of(cfg, path, images):
    """Logits in double precision, like those of MXNet."""
    model = build_model(cfg).double().eval()
    model.load_state_dict(read_checkpoint(str(path))['state_dict'])
    with torch.no_grad():
        features = model.extract_feat(torch.from_numpy(images).double())
        return model.head.fc(features[-1]).numpy()


@pytest.mark.parametrize(
    ('name', 'base', 'places'),
    [
        ('r50_2-3', 'glore_r50_2-3', TWO_THREE),
        ('float16/r50_2-3', 'glore_r50_2-3', TWO_THREE),
        ('se_r50_0-3', 'glore_se_r50', 'layer3=(0, 2, 4)'),
    ],
)
def test_a_converted_network_has_the_logits_of_mxnet(
    name, base, places, narrow, tmp_path
):
    cfg, ours = narrow(base, places), tmp_path / 'ours.pth'
    source = tmp_path / 'net-0000.params'
    shutil.copy(DATA / f'{name}-0000.params', source)
    symbol = DATA / f'{Path(name).name}-symbol.json'  # without the types
    shutil.copy(symbol, tmp_path / 'net-symbol.json')
    done = convert_checkpoint(cfg, str(source), str(ours))
    assert done.kind == 'released ImageNet' and not done.dropped and not done.untouched
    seen = np.load(DATA / f'{name}.npz')
    found = logits_of(cfg, ours, seen['data'])
    assert np.abs(found - seen['logits']).max() < 1e-6 < np.abs(seen['logits']).max()


@pytest.mark.slow
def test_the_tool_takes_the_downloaded_archive(narrow, tool, tmp_path):
    narrow()
    with tarfile.open(tmp_path / 'resnet50_w-glore_2-3.tar', 'w') as archive:
        for path in sorted(DATA.glob('r50_2-3-*')):
            archive.add(path, f'resnet50_w-glore_2-3/{path.name}')
    done = tool('convert_checkpoint', 'glore_r50_2-3.py', 'resnet50_w-glore_2-3.tar',
                'ours.pth', cwd=tmp_path)  # fmt: skip
    # 306 arrays, and the counters of 61 batch norms
    assert 'resnet50_w-glore_2-3.tar: released ImageNet, 367 tensors' in done.stdout
    names = {path.name for path in tmp_path.iterdir()}
    assert {
        'ours.pth',
        'ours.pth.sha256',
    } < names and 'r50_2-3-0000.params' not in names


def refused(cfg, source, tmp_path):
    with pytest.raises(UserError) as error:
        convert_checkpoint(cfg, str(source), str(tmp_path / 'ours.pth'))
    assert not (tmp_path / 'ours.pth').exists()
    return str(error.value)


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (
            {'model.backbone.backbone.norm_cfg.eps': 1e-4},
            'eps 0.001 for 0.0001 in the network (eps in norm_cfg), in 36 of the file '
            '(conv1__bn and 35 more)',
        ),
        (
            {'model.backbone.unit.norm_cfg.eps': 1e-5},
            'eps 0.001 for 1e-05 in the network (eps in norm_cfg), in 25 of the file '
            '(conv3_B01_extra_conv-state__bn',
        ),
        (
            {'model.backbone.backbone.strides': (1, 2, 2, 1)},
            'stride (2, 2) for (1, 1) in the network (strides), in 2 of the file '
            '(conv5_B01_conv-w1__conv and 1 more)',
        ),
        (
            {'model.backbone.backbone.dilations': (1, 1, 1, 2)},
            'dilate (1, 1) for (2, 2) in the network (dilations), in 1 of the file '
            '(conv5_B01_conv-m2__conv)',
        ),
        (
            {'model.backbone.placement.layer3': (0, 2, 3)},
            'backbone.layer3.2, backbone.layer3.4; the network of the config has 5 '
            'unit(s), after backbone.layer2.0, backbone.layer2.2, backbone.layer3.0, '
            'backbone.layer3.2, backbone.layer3.3. Change its placement',
        ),
        (
            {'model.backbone.backbone.se_ratio': 16},
            '40 missing: backbone.layer1.0.se.fc1.weight',
        ),
        (
            {'model.backbone.backbone.stage_blocks': (1, 3, 6, 1)},
            'missing: backbone.layer3.5.conv_m1.conv.weight',
        ),
        (
            {'model.head.num_classes': 11},
            'head.fc.weight is (10, 128), expected (11, 128)',
        ),
    ],
)
def test_wrong_configs(options, message, narrow, tmp_path):
    source = DATA / 'r50_2-3-0000.params'
    assert message in refused(narrow(**options), source, tmp_path)


@pytest.fixture
def changed(tmp_path):
    """Write the checkpoint again, with changed arrays and .json."""

    def changed(edit):
        source = read_mxnet_checkpoint(str(DATA / 'r50_2-3-0000.params'))
        symbol = json.loads((DATA / 'r50_2-3-symbol.json').read_text())
        arrays = {name: value.numpy() for name, value in source.arrays.items()}
        edit(arrays, symbol)
        named = {
            f'aux:{n}' if 'moving' in n else f'arg:{n}': a for n, a in arrays.items()
        }
        (tmp_path / 'net-symbol.json').write_text(json.dumps(symbol))
        (tmp_path / 'net-0000.params').write_bytes(params_bytes(named))
        return tmp_path / 'net-0000.params'

    return changed


def test_a_config_without_units(tmp_path):
    cfg = load_config('glore_mm::cls/plain_r50_imagenet.py')
    message = refused(cfg, DATA / 'r50_2-3-0000.params', tmp_path)
    assert 'has 5 unit(s), after backbone.layer2.0, ' in message
    assert (
        'the network of the config has no units. Give the config with these units, or '
        'add them with WithGloRe.'
    ) in message


def test_a_file_without_units(changed, narrow, tmp_path):
    def remove_units(arrays, symbol):
        for name in [name for name in arrays if '_extra_' in name]:
            del arrays[name]
        nodes = [dict(op='null', name=name, inputs=[]) for name in arrays]
        inputs = [[i, 0] for i in range(len(arrays))]
        symbol['nodes'] = [*nodes, dict(op='all', name='all', inputs=inputs)]

    message = refused(narrow(), changed(remove_units), tmp_path)
    assert 'has no units; the network of the config has 5 unit(s), after ' in message
    assert message.endswith('. Give the config without units.')


def test_additional_and_missing_arrays(changed, narrow, tmp_path):
    def lose(arrays, symbol):
        del arrays['conv3_B01_extra_GCN-G__bn__bn_beta']

    message = refused(narrow(), changed(lose), tmp_path)
    assert '1 array(s) that the .json names are not in the .params: ' in message
    assert 'conv3_B01_extra_GCN-G__bn__bn_beta' in message

    def gain(arrays, symbol):
        arrays['conv3_B01_strange_weight'] = np.zeros((2, 3), 'f4')
        symbol['nodes'].append(
            dict(op='null', name='conv3_B01_strange_weight', inputs=[])
        )
        symbol['nodes'].append(
            dict(op='x', name='x', inputs=[[len(symbol['nodes']) - 1, 0, 0]])
        )

    message = refused(narrow(), changed(gain), tmp_path)
    assert '1 not known to the network: conv3_B01_strange_weight (2, 3)' in message


def test_a_fixed_gamma_becomes_one(changed, narrow, tmp_path):
    def fix(arrays, symbol):
        for node in symbol['nodes']:
            if node['name'] == 'tail__bn':
                del node['attrs']['fix_gamma']  # MXNet fixes it by default

    done = convert_checkpoint(narrow(), str(changed(fix)), str(tmp_path / 'ours.pth'))
    assert (done.state_dict['backbone.tail.bn.weight'] == 1).all()
    assert (done.state_dict['backbone.conv1.bn.weight'] != 1).any()


def test_names_with_one_underscore(changed, narrow, tmp_path):
    def shorten(arrays, symbol):
        def short(name):
            return name.replace('__bn__bn', '_bn').replace('__', '_')

        for name in list(arrays):
            arrays[short(name)] = arrays.pop(name)
        for node in symbol['nodes']:
            node['name'] = short(node['name'])

    source = changed(shorten)
    convert_checkpoint(narrow(), str(source), str(tmp_path / 'ours.pth'))


@pytest.mark.parametrize(
    ('released', 'ours'),
    [
        ('conv1_x_1__conv_weight', 'conv1_1.conv.weight'),
        ('conv1_x_1__relu-sp__bn_gamma', 'conv1_1.bn.weight'),
        ('conv2_x__1_c1x1-w(s/1)__bn__bn_beta', 'conv2_1.c1x1_w_s1.bn.bias'),
        ('conv3_x__1_c1x1-w(s/2)__conv_weight', 'conv3_1.c1x1_w_s2.conv.weight'),
        ('conv4_x__12_c3x3-b__bn__bn_moving_var', 'conv4_12.c3x3_b.bn.running_var'),
        ('conv4_x__5_extra_conv-tail-den__conv_weight',
         'conv4_5.glore.conv_extend.dense.conv.weight'),
        ('conv4_x__5_extra_conv-tail-res__bn__bn_gamma',
         'conv4_5.glore.conv_extend.residual.norm.weight'),
        ('conv5_x_x__relu-sp__bn_moving_mean', 'conv5_bn_ac.bn.running_mean'),
    ],
)  # fmt: skip
def test_names_of_dual_path_networks(released, ours):
    assert our_name(released) == f'backbone.timm_model.features.{ours}'


def test_a_dual_path_network_converts(tmp_path):
    """A small one with the release's names; mxnet_reference.py writes MXNet's own."""
    options = {
        'model.backbone.backbone.backbone.model_name': 'dpn68',
        'model.backbone.backbone.unit.residual_channels': 128,
        'model.backbone.unit.residual_channels': 256,
        'model.head.in_channels': 832,
    }
    cfg = load_config('glore_mm::cls/glore_dpn98_2-3_imagenet.py', options)
    network = build_model(cfg).state_dict()
    arrays = {}
    for name, value in network.items():
        if not name.endswith('num_batches_tracked'):
            arrays[released_dpn_name(name)] = value.numpy()
    assert any('extra_conv-tail-den' in name for name in arrays)
    operators = [dict(op='null', name=name, inputs=[]) for name in arrays]
    operators.append(
        dict(op='all', name='all', inputs=[[i, 0] for i in range(len(arrays))])
    )
    (tmp_path / 'dpn-symbol.json').write_text(json.dumps(dict(nodes=operators)))
    (tmp_path / 'dpn-0000.params').write_bytes(
        params_bytes({f'arg:{name}': value for name, value in arrays.items()})
    )
    done = convert_checkpoint(
        cfg, str(tmp_path / 'dpn-0000.params'), str(tmp_path / 'ours.pth')
    )
    assert done.state_dict.keys() == network.keys()


def released_dpn_name(name):
    """Released name of one of our weights."""
    if name.startswith('head.fc.'):
        return name.replace('head.fc.', 'fc6_')
    block, *layers, kind, parameter = name.split('.')[3:]
    words = dict(weight='gamma', bias='beta', running_mean='moving_mean',
                 running_var='moving_var')  # fmt: skip
    last = '__conv_weight' if kind == 'conv' else f'__bn_{words[parameter]}'
    if block == 'conv5_bn_ac':
        return f'conv5_x_x__relu-sp{last}'
    if block == 'conv1_1':
        return f'conv1_x_1{last}' if kind == 'conv' else f'conv1_x_1__relu-sp{last}'
    stage, number = block.split('_')
    layer = {
        'c1x1_w_s1': 'c1x1-w(s/1)', 'c1x1_w_s2': 'c1x1-w(s/2)', 'c1x1_a': 'c1x1-a',
        'c3x3_b': 'c3x3-b', 'c1x1_c': 'c1x1-c',
        'glore.conv_state': 'extra_conv-state', 'glore.conv_proj': 'extra_conv-proj',
        'glore.gcn.conv1': 'extra_GCN-G', 'glore.gcn.conv2': 'extra_GCN-GHW',
        'glore.conv_extend.residual': 'extra_conv-tail-res',
        'glore.conv_extend.dense': 'extra_conv-tail-den',
    }['.'.join(layers)]  # fmt: skip
    inner = '' if kind == 'conv' else '__bn'
    return f'{stage}_x__{number}_{layer}{inner}{last}'
