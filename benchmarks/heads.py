"""Measure context blocks of segmentation heads, alone and in their head.

python benchmarks/heads.py           # heads on a ResNet-50 at 512×1024, output stride 8

The heads are those of mmsegmentation's configs, but without concat_input.
"""

import argparse
from collections.abc import Callable

import harness
import torch
from mmengine.hub import get_config
from mmseg.models.decode_heads import EMAHead, FCNHead
from mmseg.registry import MODELS
from torch import Tensor, nn

import glore_mm.seg  # noqa: F401, registers GloReHead

BATCH, SIZE = 2, (64, 128)
CHANNELS = (256, 512, 1024, 2048)  # of the feature maps of a ResNet-50
PLACES = ('block alone', 'whole head')
Run = Callable[..., Tensor | tuple[Tensor, ...]]


class Part(nn.Module):
    """Some layers of a head as a module.

    Args:
        run (Callable): Forward function; takes this part and its inputs.
        layers (nn.Module): The layers, by the names that `run` uses.
    """

    def __init__(self, run: Run, **layers: nn.Module) -> None:
        super().__init__()
        for name, layer in layers.items():
            self.add_module(name, layer)
        self.run = run

    def forward(self, *inputs: Tensor) -> Tensor | tuple[Tensor, ...]:
        """Call `run`."""
        return self.run(self, *inputs)


def ema(part: Part, x: Tensor) -> Tensor:
    """Run expectation maximisation attention, with its skip connection."""
    found = part.ema_module(part.ema_mid_conv(x)).relu()
    return (x + part.ema_out_conv(found)).relu()


def ann(part: Part, x: Tensor, low: Tensor, high: Tensor) -> tuple[Tensor, ...]:
    """Run both blocks; the 3×3 convolution between them is not part of them."""
    return part.fusion(low, high), part.context(x)


def psp(part: Part, x: Tensor) -> tuple[Tensor, ...]:
    """Run the pooling branches, up to the size of the feature map."""
    return tuple(part.psp_modules(x))


def isa(part: Part, x: Tensor) -> Tensor:
    """Run the head, whose first convolution and classifier have been removed."""
    return part.head((None, None, None, x))


#: mmsegmentation's name of each head, the layers of its block, the block's forward
#: function, and the channels of its inputs.
HEADS: dict[str, tuple[str, list[str], Run | None, tuple[int, ...]]] = {
    'FCN': ('fcn', [], None, ()),
    'GloRe': ('fcn', ['units'], lambda part, x: part.units[0](x), (512,)),
    'NL': ('nonlocal', ['nl_block'], lambda part, x: part.nl_block(x), (512,)),
    'DNL': ('dnl', ['dnl_block'], lambda part, x: part.dnl_block(x), (512,)),
    'GC': ('gcnet', ['gc_block'], lambda part, x: part.gc_block(x), (512,)),
    'ANN': ('ann', ['fusion', 'context'], ann, (512, 1024, 2048)),
    'EMA': ('emanet', ['ema_module', 'ema_mid_conv', 'ema_out_conv'], ema, (512,)),
    'PSP': ('pspnet', ['psp_modules'], psp, (2048,)),
    'DA': ('danet', ['pam', 'cam'], lambda part, x: (part.pam(x), part.cam(x)), (512,)),
    'ISA': ('isanet', [], isa, (512,)),
}


def build(name: str) -> nn.Module:
    """Build a head of `HEADS`."""
    cfg = get_config(f'mmseg::_base_/models/{HEADS[name][0]}_r50-d8.py')
    head = cfg.model.decode_head
    if name == 'GloRe':
        head.type = 'GloReHead'
    if issubclass(MODELS.get(head.type), FCNHead | EMAHead):
        head.concat_input = False
    return MODELS.build(head)


def network(place: str, name: str) -> tuple[Part, tuple[Tensor, ...]] | None:
    """Build a head or its block, with inputs; None for a head without a block."""
    _, layers, run, channels = HEADS[name]
    head = build(name)
    if place == 'whole head':
        part, channels = Part(lambda part, *maps: part.head(maps), head=head), CHANNELS
    elif run is None:
        return None
    elif name == 'ISA':
        head.in_conv = head.conv_seg = nn.Identity()
        part = Part(run, head=head)
    else:
        part = Part(run, **{layer: getattr(head, layer) for layer in layers})
    return part, tuple(torch.randn(BATCH, c, *SIZE) for c in channels)


def measure_place(place: str, args: argparse.Namespace) -> list[dict]:
    """Measure all heads at a place."""
    harness.set_up(args)
    found = {}
    for name in HEADS:
        both = network(place, name)
        if both is not None:
            part, inputs = both
            inputs = tuple(harness.prepare(x, args) for x in inputs)
            found[name] = part.to(inputs[0].device, inputs[0].dtype), inputs
    return list(harness.measure(found, args, next(iter(found)), place=place))


if __name__ == '__main__':
    args = harness.parser(__doc__).parse_args()
    harness.compare('heads', PLACES, measure_place, args)
