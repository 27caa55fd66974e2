"""Networks with units that are sharded over two processes: FSDP2, and mmengine."""

import re

import pytest
import soak
import torch
from options import cfg_options
from paths import ROOT
from processes import python, write

from glore_mm.apis.train import train
from glore_mm.checkpoints.files import read_checkpoint, write_checkpoint
from glore_mm.config.build import build_model
from glore_mm.config.load import load_config

PAGE = ROOT / 'docs' / 'recipes.md'

FSDP2 = """
    import copy

    import torch
    import torch.distributed as dist
    from torch import nn
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard

    from glore_mm import insert_glore


    def norm(channels):
        return nn.GroupNorm(2, channels)


    class Block(nn.Module):
        def __init__(self, channels, out_channels):
            super().__init__()
            self.conv = nn.Conv2d(channels, out_channels, 3, padding=1)
            self.norm = norm(out_channels)

        def forward(self, x):
            return self.norm(self.conv(x)).relu()


    def network(order):
        torch.manual_seed(0)
        blocks = nn.Sequential(Block(3, 8), Block(8, 8))
        head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 5))
        net = insert_glore(
            nn.Sequential(blocks, head), {'0': 2}, dict(norm_layer=norm, order=order)
        )
        for block in blocks:  # a new unit is the identity
            nn.init.ones_(block.glore.closing_weight)
        return net


    def train(net, images, labels):
        optimizer = torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9)
        for _ in range(3):
            optimizer.zero_grad()
            nn.functional.cross_entropy(net(images), labels).backward()
            optimizer.step()


    dist.init_process_group('gloo')
    rank, mesh = dist.get_rank(), init_device_mesh('cpu', (2,))
    images = torch.randn(4, 3, 8, 8, generator=torch.Generator().manual_seed(1))
    labels = torch.arange(4)
    share = slice(2 * rank, 2 * rank + 2)
    for order in ('direct', 'reassociated'):
        whole = network(order)
        train(whole, images, labels)
        for parts in ('blocks', 'units', 'layers of units'):
            net = network(order)
            for block in net[0]:
                if parts == 'units':
                    fully_shard(block.glore, mesh=mesh)
                if parts == 'layers of units':
                    fully_shard(block.glore.conv_state, mesh=mesh)
                fully_shard(block, mesh=mesh)
            fully_shard(net, mesh=mesh)
            weight = net[0][0].glore.conv_state.weight
            assert weight.to_local().numel() == weight.numel() / 2
            train(net, images[share], labels[share])
            for name, expected in whole.state_dict().items():
                found = net.state_dict()[name].full_tensor()
                torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)
    print('same weights' * (rank == 0))
    dist.destroy_process_group()
"""


def of_two(script, *arguments):
    launcher = ('-m', 'torch.distributed.run', '--nproc_per_node', 2)
    return python(*launcher, '--master_port', soak.free_port(), script, *arguments)


@pytest.mark.slow
def test_sharded_network_trains_as_the_whole(tmp_path):
    """With `fully_shard` of torch, on half of the batch in each process."""
    assert 'same weights' in of_two(write(tmp_path / 'sharded.py', FSDP2))


@pytest.mark.slow
@pytest.mark.filterwarnings('ignore:GloRe.d has more nodes')
def test_config_trains_as_in_one_process(small_data, tmp_path, monkeypatch):
    """With the script of the page, resumed after an epoch.

    It uses FlexibleRunner and FSDPStrategy of mmengine.
    """
    monkeypatch.chdir(tmp_path)
    (text,) = re.findall(
        r'```python\n(# train_fsdp.py\n.*?)```', PAGE.read_text(), re.S
    )
    script = write(tmp_path / 'train_fsdp.py', text)
    norm_cfg = dict(type='GN', num_groups=2)
    options = {
        'data_root': str(small_data['cls']),
        'model.backbone.backbone.base_channels': 8,
        'model.backbone.backbone.norm_cfg': norm_cfg,
        'model.backbone.unit.norm_cfg': norm_cfg,
        'model.head.in_channels': 256,
        'optim_wrapper.optimizer': dict(
            _delete_=True, type='SGD', lr=0.01, momentum=0.9
        ),
        'param_scheduler': [],
        'train_cfg.max_epochs': 2,
        'train_cfg.val_interval': 2,
        'train_dataloader.sampler.shuffle': False,
        'train_dataloader.num_workers': 0,
        'train_dataloader.persistent_workers': False,
        'val_dataloader.num_workers': 0,
        'val_dataloader.persistent_workers': False,
        'default_hooks.checkpoint.interval': 1,
        'load_from': 'begin.pth',
    }
    config = 'glore_mm::cls/glore_mini.py'
    _, *words = cfg_options(options)
    cfg = load_config(config, [*words, 'train_dataloader.batch_size=4'], 'one')
    torch.manual_seed(0)
    net = build_model(cfg)
    for stage in (net.backbone.layer2, net.backbone.layer3):
        torch.nn.init.ones_(stage[0].glore.closing_weight)
    write_checkpoint(dict(state_dict=net.state_dict(), meta={}), 'begin.pth')
    train(cfg, seed=0)

    words += ['train_dataloader.batch_size=2', 'work_dir=two']
    of_two(script, config, *words, 'train_cfg.max_epochs=1')
    of_two(script, config, *words, 'resume=True', 'load_from=two/epoch_1.pth')
    expected, found = (
        read_checkpoint(f'{run}/epoch_2.pth')['state_dict'] for run in ('one', 'two')
    )
    begin = net.state_dict()
    assert found.keys() == expected.keys() == begin.keys()
    for name, value in found.items():
        torch.testing.assert_close(value, expected[name], rtol=1e-4, atol=1e-5)
    name = 'backbone.layer3.0.glore.conv_state.weight'
    assert not torch.allclose(found[name], begin[name], atol=1e-4)
