"""Context blocks of segmentation heads, alone and with the head around them.

python benchmarks/heads.py           # heads on a ResNet-50 at 512×1024, output stride 8

The heads are those of mmsegmentation's own configs, but that none lets its input skip
to its classifier.
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
CHANNELS = (256, 512, 1024, 2048)  # of the maps that a ResNet-50 gives
PLACES = ('block alone', 'whole head')
Run = Callable[..., Tensor | tuple[Tensor, ...]]


class Part(nn.Module):
    """What some layers of a head do.

    Args:
        run (Callable): What is done with this part and its inputs.
        layers (nn.Module): The layers, by the names that `run` knows.
    """

    def __init__(self, run: Run, **layers: nn.Module) -> None:
        super().__init__()
        for name, layer in layers.items():
            self.add_module(name, layer)
        self.run = run

    def forward(self, *inputs: Tensor) -> Tensor | tuple[Tensor, ...]:
        """As `run`."""
        return self.run(self, *inputs)


def ema(part: Part, x: Tensor) -> Tensor:
    """Bases by expectation maximisation, and the way back from them."""
    found = part.ema_module(part.ema_mid_conv(x)).relu()
    return (x + part.ema_out_conv(found)).relu()


def ann(part: Part, x: Tensor, low: Tensor, high: Tensor) -> tuple[Tensor, ...]:
    """Both of its blocks; in the head there is a 3×3 convolution between them."""
    return part.fusion(low, high), part.context(x)


def psp(part: Part, x: Tensor) -> tuple[Tensor, ...]:
    """What it pools, back at the size of the map."""
    return tuple(part.psp_modules(x))


def isa(part: Part, x: Tensor) -> Tensor:
    """The head itself; its first convolution and its classifier were taken out."""
    return part.head((None, None, None, x))


#: For each head mmsegmentation's name, the layers of its block, what the block does,
#: and the channels of what it takes.
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
    """A head of `HEADS`."""
    cfg = get_config(f'mmseg::_base_/models/{HEADS[name][0]}_r50-d8.py')
    head = cfg.model.decode_head
    if name == 'GloRe':
        head.type = 'GloReHead'
    if issubclass(MODELS.get(head.type), FCNHead | EMAHead):
        head.concat_input = False
    return MODELS.build(head)


def network(place: str, name: str) -> tuple[Part, tuple[Tensor, ...]] | None:
    """A head or its block, where it has one, and inputs."""
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


def rows_of(place: str, args: argparse.Namespace) -> list[dict]:
    """The rows of a place."""
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
    harness.compare('heads', PLACES, rows_of, args)
