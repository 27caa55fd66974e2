"""Networks in the format of the Hugging Face Hub, in local folders."""

import copy
import io
import json
import pickle
import re
import shutil
from pathlib import Path

import pytest
import torch
from huggingface_hub import ModelCard, hub_mixin
from mmengine.config import Config
from paths import ROOT

from glore_mm.apis.hub import TRUSTED, HubNetwork
from glore_mm.apis.tasks import get_task
from glore_mm.checkpoints.files import read_checkpoint, write_checkpoint
from glore_mm.config.build import build_model
from glore_mm.config.load import load_config
from glore_mm.seg import CityscapesFolders
from glore_mm.utils.errors import UserError

INPUTS = dict(seg=(1, 3, 64, 96), cls=(2, 3, 64, 64), video=(1, 3, 4, 48, 48))
CLASSES = dict(
    seg=list(CityscapesFolders.METAINFO['classes']),
    cls=list('abcdefghij'),
    video=list('abcd'),
)


@pytest.fixture(scope='module', params=INPUTS)
def trained(request, tmp_path_factory):
    """Config, checkpoint, and the network's output for an image."""
    task = request.param
    name = f'glore_mm::{task}/glore_mini.py'
    torch.manual_seed(0)
    cfg = load_config(name)
    model = build_model(cfg).eval()
    path = tmp_path_factory.mktemp(task) / 'net.pth'
    about = dict(dataset_meta=dict(classes=CLASSES[task]))
    write_checkpoint(dict(state_dict=model.state_dict(), meta=about), str(path))
    images = torch.randint(0, 256, INPUTS[task], dtype=torch.uint8)
    given = cfg.get('data_preprocessor') or cfg.model.data_preprocessor
    shape = (3, *[1] * (images.dim() - 2))
    mean, std = (torch.tensor(given[key]).view(shape) for key in ('mean', 'std'))
    # the networks of all three tasks take RGB
    with torch.no_grad():
        logits = get_task(cfg).logits(model, (images - mean) / std)
    return task, name, path, images, logits


one_task = pytest.mark.parametrize('trained', ['cls'], indirect=True)


@pytest.fixture
def saved(trained, tmp_path):
    _, name, path, *_ = trained
    network = HubNetwork.from_checkpoint(name, path, results={'mIoU': 61.5})
    network.save_pretrained(tmp_path / 'repo')
    return tmp_path / 'repo'


def test_save_and_load(trained, saved, tmp_path):
    task, _, path, images, logits = trained
    network = HubNetwork.from_pretrained(saved)
    assert not network.training and network.classes == CLASSES[task]
    with torch.no_grad():
        assert torch.allclose(network(images), logits, atol=1e-5)
    # the file is also a checkpoint for the tools
    names = read_checkpoint(str(path))['state_dict'].keys()
    content = read_checkpoint(str(saved / 'model.safetensors'))
    assert content['state_dict'].keys() == names
    assert content['meta']['dataset_meta']['classes'] == CLASSES[task]
    network.save_pretrained(tmp_path / 'again')
    for file in ('config.json', 'README.md'):
        assert (tmp_path / 'again' / file).read_text() == (saved / file).read_text()


def saved_and_loaded(network):
    file = io.BytesIO()
    torch.save(network, file)
    file.seek(0)
    return torch.load(file, weights_only=False)


@pytest.mark.parametrize(
    'duplicate',
    [
        copy.deepcopy,
        lambda network: pickle.loads(pickle.dumps(network)),
        lambda network: torch.optim.swa_utils.AveragedModel(network).module,
        saved_and_loaded,
    ],
    ids=['deepcopy', 'pickle', 'AveragedModel', 'torch.save'],
)
def test_copies(trained, saved, duplicate, tmp_path, monkeypatch):
    # which load_config sets for the tools
    monkeypatch.delenv('TORCH_FORCE_WEIGHTS_ONLY_LOAD', raising=False)
    *_, images, logits = trained
    network = duplicate(HubNetwork.from_pretrained(saved))
    with torch.no_grad():
        assert torch.allclose(network(images), logits, atol=1e-5)
    network.save_pretrained(tmp_path / 'copy')
    for file in ('config.json', 'README.md'):
        assert (tmp_path / 'copy' / file).read_text() == (saved / file).read_text()


def test_a_base_config_of_mmsegmentation(tmp_path):
    """Such a config has the key '_scope_', which is not allowed in config.json."""
    config = tmp_path / 'config.py'
    config.write_text(
        "_base_ = ['mmseg::_base_/models/fcn_r50-d8.py',\n"
        "          'mmseg::_base_/datasets/cityscapes.py',\n"
        "          'mmseg::_base_/default_runtime.py']\n"
        'model = dict(pretrained=None)\n'
    )
    cfg = load_config(config)
    assert cfg.model['_scope_'] == cfg.default_scope == 'mmseg'
    about = dict(dataset_meta=dict(classes=CLASSES['seg']))
    weights = dict(state_dict=build_model(cfg).state_dict(), meta=about)
    write_checkpoint(weights, str(tmp_path / 'net.pth'))
    network = HubNetwork.from_checkpoint(config, tmp_path / 'net.pth')
    network.save_pretrained(tmp_path / 'repo')
    assert '_scope_' not in (tmp_path / 'repo' / 'config.json').read_text()
    images = torch.rand(1, 3, 32, 32) * 255
    found = HubNetwork.from_pretrained(tmp_path / 'repo')
    with torch.no_grad():
        assert torch.equal(found(images), network(images))


def test_model_card(trained, saved):
    task, name, *_ = trained
    card = ModelCard.load(saved / 'README.md')
    assert card.data.library_name == 'glore-mm' and 'glore' in card.data.tags
    (result,) = card.data.eval_results
    assert (result.metric_type, result.metric_value) == ('mIoU', 61.5)
    assert name in card.text and re.search(r'\| mIoU on \w+ \| 61.5 \|', card.text)
    assert f'{len(CLASSES[task])}: {CLASSES[task][0]}' in card.text
    assert re.search(r'\| Unit at `\S+` \| \d+ states, \d+ nodes \|', card.text)
    (example,) = re.findall(r'```python\n(.*?)```', card.text, re.DOTALL)
    asked = example.replace('…', str(saved))
    variables = {}
    exec(asked, variables)
    assert variables['logits'].isfinite().all()


@one_task
def test_push_to_hub_uploads_these_files(trained, saved, tmp_path, monkeypatch):
    """With a fake API that records the uploads."""

    class Api:
        def __init__(self, **kwargs):
            pass

        def create_repo(self, repo_id, **kwargs):
            return type('Repository', (), dict(repo_id=repo_id))

        def upload_folder(self, repo_id, folder_path, **kwargs):
            shutil.copytree(folder_path, tmp_path / repo_id)
            return 'commit'

    monkeypatch.setattr(hub_mixin, 'HfApi', Api)
    assert HubNetwork.from_pretrained(saved).push_to_hub('me/net') == 'commit'
    assert {p.name for p in (tmp_path / 'me/net').iterdir()} == {
        'config.json', 'model.safetensors', 'README.md'
    }  # fmt: skip


@one_task
def test_results_of_a_test(trained, tmp_path):
    _, name, path, *_ = trained
    file = tmp_path / 'metrics.json'
    file.write_text('{"mIoU": 61.23456, "time": 0.1, "data_time": 0.01}')
    network = HubNetwork.from_checkpoint(name, path, results=file)
    assert network.config['results'] == {'mIoU': 61.2346}
    file.write_text('[]')
    with pytest.raises(UserError, match='cannot be read as the results of a test'):
        HubNetwork.from_checkpoint(name, path, results=file)


def edited(saved, edit) -> Path:
    path = saved / 'config.json'
    config = json.loads(path.read_text())
    edit(config)
    path.write_text(json.dumps(config))
    return saved


@one_task
@pytest.mark.parametrize(
    ('edit', 'message'),
    [
        (lambda c: c['model'].update(type='os.system'), "has the type 'os.system'"),
        (lambda c: c['model'].update(neck=dict(type='mmengine.load', file='x')),
         "has the type 'mmengine.load'"),
        (lambda c: c['model'].update(type=['EncoderDecoder']), 'has the type'),
        (lambda c: c['model'].update(_scope_='os'), "'_scope_' is not allowed"),
        (lambda c: c.update(default_scope='os'), "default_scope 'os' is unknown"),
        (lambda c: c.pop('classes'), 'classes must be a list'),
        (lambda c: c.update(model='x'), 'model must be a dict'),
    ],
)  # fmt: skip
def test_an_untrusted_config_builds_no_other_types(saved, edit, message):
    with pytest.raises(UserError, match=message):
        HubNetwork.from_pretrained(edited(saved, edit))


@one_task
def test_an_untrusted_config_loads_no_other_weights(saved):
    def edit(config):
        loading = dict(type='Pretrained', checkpoint='http://127.0.0.1:9/x.pth')
        config['model'].update(init_cfg=loading, pretrained='http://127.0.0.1:9/x.pth')

    HubNetwork.from_pretrained(edited(saved, edit)).model.init_weights()


@one_task
def test_trusted_types(saved):
    edited(saved, lambda config: config['model'].update(backbone=dict(type='AlexNet')))
    with pytest.raises(UserError, match=r"trusted=\['AlexNet'\]"):
        HubNetwork.from_pretrained(saved)
    with pytest.raises(UserError, match='does not match its config.json'):
        HubNetwork.from_pretrained(saved, trusted=['AlexNet'])


@one_task
def test_wrong_and_missing_weights(saved):
    weights = saved / 'model.safetensors'
    content = read_checkpoint(str(weights))
    content['state_dict'].popitem()
    write_checkpoint(content, str(weights))
    with pytest.raises(UserError, match='does not match its config.json: '):
        HubNetwork.from_pretrained(saved)
    weights.unlink()
    with pytest.raises(UserError, match='no checkpoint at .*model.safetensors'):
        HubNetwork.from_pretrained(saved)


def types_of(node):
    if isinstance(node, dict):
        kind = node.get('type')
        yield from [kind] if isinstance(kind, str) else []
        node = [value for key, value in node.items() if key != 'init_cfg']
    if isinstance(node, list | tuple):
        for child in node:
            yield from types_of(child)


OURS = [p for t in INPUTS for p in sorted((ROOT / 'configs' / t).glob('*.py'))]


@pytest.mark.slow
@pytest.mark.parametrize(
    'path', OURS, ids=lambda path: f'{path.parent.name}-{path.stem}'
)
def test_all_of_our_configs_are_trusted(path):
    cfg = Config.fromfile(path, import_custom_modules=False)
    names = ('default_scope', 'model', 'data_preprocessor')
    for name, head in cfg.model.items():
        if name.endswith('head') and head and head.num_classes is None:  # own data
            head.num_classes = 2
    parts = {key: cfg._cfg_dict.to_dict()[key] for key in names if key in cfg}
    assert set(types_of([parts])) <= TRUSTED
    config = json.loads(json.dumps(dict(parts, name=path.name, classes=['a'])))
    # some need values that meta tensors do not have
    asking = {'SwinTransformer', 'SwinTransformer3D', 'mmpretrain.ConvNeXt', 'ConvNeXt'}
    asking |= {'MixVisionTransformer', 'ResNet_CIFAR', 'UniFormer'}
    asking |= {'ResNet'} if path.parent.name == 'cls' else set()
    with torch.device('cpu' if asking & {*types_of([parts])} else 'meta'):
        assert HubNetwork(config).config == config
