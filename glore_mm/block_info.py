"""Find out about a block what a unit needs: channels, dimensions, layout, tokens."""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from glore_mm.placement import child_names, describe_place

LAYOUTS = ('NCL', 'NLC', 'NCHW', 'NHWC', 'NCTHW', 'NTHWC')

_CONVS = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}
_NORMS = {1: nn.BatchNorm1d, 2: nn.BatchNorm2d, 3: nn.BatchNorm3d}
_TOKENS = re.compile(
    r'(class|cls|dist|distillation|reg|register|storage)_?(tokens?|embedding)_?\d*'
)
# networks of timm that count a class token, which their first blocks do not have
_LATE_CLASS_TOKEN = ('Cait', 'ConVit', 'Xcit')


def find_channels(model: nn.Module, path: str, before: bool, layout: str | None) -> int:
    """Return the number of output channels of a block, or of input channels (`before`).

    A convolutional block is run on a small input to find its output channels.
    Otherwise they are those of the block's last layer, or of the layers before the
    block in an `nn.Sequential`. Input channels are those of the block's first layer.

    Raises:
        ValueError: There is no such layer.
    """
    block = model.get_submodule(path)
    found = _layer_channels(block, outputs=not before)
    if found:
        return found[0] if before else _measure_channels(block, layout) or found[-1]
    parent, _, name = path.rpartition('.')
    siblings = model.get_submodule(parent)
    if isinstance(siblings, nn.Sequential):
        names = child_names(siblings)
        for sibling in names[: names.index(name)]:
            found += _layer_channels(siblings.get_submodule(sibling), outputs=True)
    if not found:
        raise ValueError(
            f'the number of channels {describe_place(path, before)} '
            f'({type(block).__name__}) is unknown: it has no layer with weights. Give '
            'unit=dict(in_channels=…)'
        )
    return found[-1]


def find_dim(model: nn.Module, path: str) -> int:
    """Return the number of spatial dimensions, from the convolutions of the block.

    If the block has none, from those of the network; 1 if that has none.
    """
    for module in (model.get_submodule(path), model):
        for dim in (3, 2, 1):
            if any(isinstance(layer, _CONVS[dim]) for layer in _layers(module)):
                return dim
    return 1


def find_channels_last(block: nn.Module, layout: str | None) -> tuple[int, ...]:
    """Return the numbers of dimensions of tensors in which channels come last.

    Channels come last if a block consists of linear layers, without a convolution or a
    batch norm over the spatial dimensions of the tensor.
    """
    if layout is not None:
        return (len(layout),) if layout.endswith('C') else ()
    layers = list(_layers(block))
    if not any(
        isinstance(layer, nn.Linear | nn.LayerNorm) and not _is_map_norm(layer)
        for layer in layers
    ):
        return ()
    return tuple(
        dim + 2
        for dim in (1, 2, 3)
        if not any(
            isinstance(layer, (_CONVS[dim], _NORMS[dim])) or _is_map_norm(layer, [dim])
            for layer in layers
        )
    )


def _is_map_norm(layer: nn.Module, dims: Sequence[int] = (1, 2, 3)) -> bool:
    """Whether a layer norm is over the channels of a map, as timm's LayerNorm2d."""
    endings = tuple(f'{dim}d' for dim in dims)
    return isinstance(layer, nn.LayerNorm) and type(layer).__name__.endswith(endings)


def check_batch_first(path: str, block: nn.Module, layout: str | None) -> None:
    """Refuse a block with attention whose first dimension is not the batch.

    With a layout from the user, a block may convert its input itself.

    Raises:
        ValueError: The block takes (L, N, C).
    """
    if layout and not type(block).__module__.startswith('torch.nn'):
        return
    for module in (block, *block.children()):
        if isinstance(module, nn.MultiheadAttention) and not getattr(
            block, 'batch_first', module.batch_first
        ):
            raise ValueError(
                f'{path} ({type(block).__name__}) takes (L, N, C): build it with '
                'batch_first=True. If the block itself converts (N, L, C), give '
                "layout='NLC'"
            )


def find_prefix_tokens(model: nn.Module, path: str) -> int:
    """Return how many class, register and distillation tokens precede the others.

    Raises:
        ValueError: The network has such tokens, but not how many.
    """
    names = path.split('.')
    if 'patch_embed' in names:
        return 0  # the tokens are added after it
    for i in range(len(names), -1, -1):  # the block's own network first
        module = model.get_submodule('.'.join(names[:i]))
        if type(module).__name__ in _LATE_CLASS_TOKEN:
            continue
        for name in ('num_prefix_tokens', 'num_extra_tokens', 'with_cls_token'):
            number = getattr(module, name, None)
            if isinstance(number, int):  # timm, mmpretrain; mmsegmentation, mmaction2
                return int(number)
    tokens = [
        name
        for name, _ in model.named_parameters()
        if _TOKENS.fullmatch(name.rpartition('.')[2])
    ]
    if [name.rpartition('.')[2] for name in tokens] == ['class_token']:
        return 1  # torchvision
    if tokens:
        raise ValueError(
            f'{type(model).__name__} has {", ".join(tokens)}: it is unknown how many '
            f'such tokens precede the others at {path}. Give num_prefix_tokens=…'
        )
    return 0


@contextmanager
def eval_mode(model: nn.Module) -> Iterator[None]:
    """Evaluate without gradients; restore the mode of every module afterwards.

    Args:
        model (nn.Module): The network; its modules may be in different modes.
    """
    modes = {module: module.training for module in model.modules()}
    try:
        with torch.no_grad():
            model.eval()
            yield
    finally:
        for module, training in modes.items():
            module.training = training


def _layer_channels(block: nn.Module, outputs: bool) -> list[int]:
    """Return the output (or input) channels of the layers of a block, in order.

    Norms count only if the block has no other layers.
    """
    maps = ('out_channels', 'out_features')
    maps = maps if outputs else ('in_channels', 'in_features')
    for names in (maps, ('num_features', 'num_channels', 'normalized_shape')):
        found = []
        for layer in _layers(block):
            sizes = [getattr(layer, name, None) for name in names]
            # LayerNorm: the last size of its shape
            sizes = [s[-1] if isinstance(s, tuple) and s else s for s in sizes]
            if next(layer.parameters(), None) is not None:
                found += [size for size in sizes if type(size) is int]
        if found:
            return found
    return []


def _layers(module: nn.Module) -> Iterator[nn.Module]:
    """Yield a module and all its descendants, without inserted units."""
    yield module
    for name in child_names(module):
        yield from _layers(module.get_submodule(name))


def _measure_channels(block: nn.Module, layout: str | None) -> int | None:
    """Return the output channels of a block for a small map; None if it fails."""
    convs = (m for m in _layers(block) if isinstance(m, tuple(_CONVS.values())))
    conv: Any = next(convs, None)
    if conv is None:
        return None
    # blocks that shift along time (TSM) expect the frames of a clip as the batch
    frames = [getattr(module, 'num_segments', None) for module in block.modules()]
    batch = next((number for number in frames if type(number) is int), 1)
    try:
        x: Tensor = conv.weight.new_zeros(
            batch, conv.in_channels, *(8 for _ in conv.kernel_size)
        )
        with eval_mode(block):
            out = block(x)
        last = out.dim() in find_channels_last(block, layout)
        return int(out.shape[-1 if last else 1]) if out.dim() == x.dim() else None
    except Exception:
        return None
