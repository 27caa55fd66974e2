"""Measure networks for ImageNet and Kinetics-400: plain, with units, with other blocks.

python benchmarks/networks.py        # images of 224², clips of 8×224²
"""

import argparse
from pathlib import Path

import harness
import torch
from mmengine.hub import get_config
from mmengine.registry import init_default_scope
from torch import Tensor, nn

from glore_mm.apis.tasks import get_task
from glore_mm.config.build import build_model
from glore_mm.config.load import load_config

CONFIGS = Path(__file__).parent.parent / 'configs'
SLOWONLY_NL = (
    'mmaction::recognition/slowonly/slowonly_r50-in1k-pre-nl-embedded-gaussian'
    '_8xb16-8x8x1-steplr-150e_kinetics400-rgb.py'
)

#: Batch size and configs of each place; the first config is the baseline.
NETWORKS = {
    'ImageNet, 224×224, batch 4': (
        4,
        {
            'ResNet-50': 'cls/plain_r50_imagenet.py',
            'ResNet-50 + GloRe (0, 3)': 'cls/glore_r50_imagenet.py',
            'ResNet-50 + GloRe (2, 3)': 'cls/glore_r50_2-3_imagenet.py',
            'ResNet-50 + Non-local (0, 3)': 'cls/nl_r50_imagenet.py',
            'ResNet-101': 'cls/plain_r101_imagenet.py',
        },
    ),
    'Kinetics-400, 8×224×224, batch 1': (
        1,
        {
            'SlowOnly': 'video/slowonly_r50_8x8_kinetics400.py',
            'SlowOnly + Non-local (2, 3)': SLOWONLY_NL,
            'SlowOnly + GloRe (2, 3)': 'video/glore_slowonly_r50_8x8_kinetics400.py',
            'PreActResNet3d': 'video/plain_r50_8x8_kinetics400.py',
            'PreActResNet3d + GloRe (2, 3)': 'video/glore_r50_8x8_kinetics400.py',
            'PreActResNet3d + Non-local (2, 3)': 'video/nl_r50_8x8_kinetics400.py',
        },
    ),
}


class Network(nn.Module):
    """An OpenMMLab model as a function of its input tensor only."""

    def __init__(self, model: nn.Module, options: dict[str, str]) -> None:
        super().__init__()
        self.model = model
        self.options = options

    def forward(self, x: Tensor) -> Tensor:
        """Return the scores."""
        return self.model(inputs=x, **self.options)


def build(path: str, batch: int) -> tuple[Network, Tensor]:
    """Build the network of a config, and an input."""
    if '::' in path:
        cfg = get_config(path)
        init_default_scope(cfg.default_scope)
        cfg.model.backbone.pretrained = None
    else:
        cfg = load_config(str(CONFIGS / path))
    options = get_task(cfg).example_inputs(cfg)
    x = options.pop('inputs')
    return Network(build_model(cfg), options), torch.randn(batch, *x.shape[1:])


def measure_place(place: str, args: argparse.Namespace) -> list[dict]:
    """Measure all networks at a place."""
    harness.set_up(args)
    batch, paths = NETWORKS[place]
    networks = {}
    for name, path in paths.items():
        network, x = build(path, batch)
        x = harness.prepare(x, args)
        networks[name] = network.to(x.device, x.dtype), (x,)
    return list(harness.measure(networks, args, next(iter(paths)), place=place))


if __name__ == '__main__':
    args = harness.parser(__doc__).parse_args()
    harness.compare('networks', NETWORKS, measure_place, args)
