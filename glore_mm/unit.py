"""The global reasoning unit.

Chen, Rohrbach, Yan, Yan, Feng, Kalantidis: Graph-Based Global Reasoning Networks.
CVPR 2019, https://arxiv.org/abs/1811.12814. Parameter names are those of the code
released with it (https://github.com/facebookresearch/GloRe).
"""

import math
import warnings
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any, NoReturn, TypeAlias

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn
from torch.fx import Proxy

from glore_mm import fused
from glore_mm.matmul import is_autocast, matmul_nt, without_autocast

#: A module whose attributes depend on how it was built, which types cannot tell.
Layer: TypeAlias = Any

_CONV = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
_BATCH_NORM = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
_ORDERS = ('auto', 'direct', 'reassociated')


class GloRe(nn.Module):
    """Global reasoning over a feature map; use GloRe1d, GloRe2d or GloRe3d.

    The L positions of the input X are projected onto K nodes of S states each, a graph
    convolution lets the nodes exchange what they hold, and the same projection takes
    the result back to the positions::

        B = conv_proj(X)                              (N, K, L)
        V = conv_state(X) Bᵀ                          (N, S, K), / L if normalize
        Z = gcn.conv2(relu(V + gcn.conv1(Vᵀ)ᵀ))       (N, S, K)
        out = X + blocker(conv_extend(Z B))           (N, C, L)

    A fresh unit is the identity: the weight of `blocker` starts at zero, or that of
    `conv_extend` where no norm with a trainable weight closes the unit.

    Args:
        in_channels (int): C, the channels of the input and of the output.
        num_states (int, optional): S, the length of a node's state. Default: C // 2.
        num_nodes (int, optional): K, the number of nodes. Default: C // 4.
        normalize (bool): Divide V by L. Turn it on where the size of the input varies.
            Default: False.
        pre_act (bool): The form of the ImageNet release: norm and ReLU before every
            convolution, convolutions without bias, no closing norm. The layers are then
            `<name>.norm` and `<name>.conv`. Default: False.
        order (str): Of the matrix products: 'direct', as written above;
            'reassociated', the same numbers by `glore_mm.fused`, which needs the unit's
            layers as they were built and else stays direct; 'auto', the one with fewer
            multiplications for the input at hand. Default: 'auto'.
        norm_layer (Callable, optional): Makes a norm from its number of channels, such
            as `nn.BatchNorm2d`; `nn.Identity` leaves the norm out. Default: batch norm
            with the release's eps, 1e-4.
        conv_layer (Callable, optional): Makes the convolutions over positions, with the
            arguments of `nn.Conv2d`. Default: that of torch.

    Raises:
        ValueError: A size is no integer of at least one, or `order` none of the three.

    Shape:
        (N, C, *spatial) → the same.

    Example:
        >>> unit = GloRe2d(512, num_states=128, num_nodes=64, normalize=True)
        >>> unit(torch.randn(2, 512, 16, 32)).shape
        torch.Size([2, 512, 16, 32])
    """

    dim: int

    def __init__(
        self,
        in_channels: int,
        num_states: int | None = None,
        num_nodes: int | None = None,
        normalize: bool = False,
        pre_act: bool = False,
        order: str = 'auto',
        norm_layer: Callable[[int], nn.Module] | None = None,
        conv_layer: Callable[..., nn.Module] | None = None,
    ) -> None:
        super().__init__()
        if not hasattr(self, 'dim'):
            raise TypeError('GloRe is abstract: build GloRe1d, GloRe2d or GloRe3d')
        if order not in _ORDERS:
            raise ValueError(
                f"{type(self).__name__}: order must be 'auto', 'direct' or "
                f"'reassociated', got {order!r}"
            )
        self.in_channels = channels = _check_size('in_channels', in_channels)
        states = _check_size('num_states', num_states, default=channels // 2)
        nodes = _check_size('num_nodes', num_nodes, default=channels // 4)
        self.num_states, self.num_nodes = states, nodes
        self.normalize = normalize
        self.pre_act = pre_act
        self.order = order
        self._warned_of_size = False
        conv_layer = conv_layer or _CONV[self.dim - 1]

        def norm(features: int) -> nn.Module:
            if norm_layer is None:
                return _BATCH_NORM[self.dim - 1](features, eps=1e-4)
            return norm_layer(features)

        def conv(make: Any, inputs: int, outputs: int, bias: bool) -> Layer:
            if pre_act:
                made = make(inputs, outputs, kernel_size=1, bias=False)
                return NormReLUConv(norm(inputs), made, self.dim)
            return make(inputs, outputs, kernel_size=1, bias=bias)

        self.conv_state = conv(conv_layer, channels, states, bias=True)
        self.conv_proj = conv(conv_layer, channels, nodes, bias=True)
        self.gcn = GraphConv(
            conv(nn.Conv1d, nodes, nodes, bias=True),
            conv(nn.Conv1d, states, states, bias=False),
            nn.Identity() if pre_act else nn.ReLU(inplace=True),
        )
        self.conv_extend = conv(conv_layer, states, channels, bias=False)
        self.blocker: Layer = nn.Identity() if pre_act else norm(channels)
        self.init_weights()

    def forward(self, x: Tensor) -> Tensor:
        """Add to each position what the graph found. (N, C, *spatial) → the same."""
        if isinstance(x, Proxy):
            return _record_call(self, x)
        self._check_input(x)
        if self._can_fuse(x):
            return self._fused(x)
        b = self.conv_proj(x).flatten(2)  # B (N, K, L)
        v = matmul_nt(self.conv_state(x).flatten(2), b)  # V (N, S, K)
        v = v / b.shape[2] if self.normalize else v
        v = v if is_autocast(x) else v.to(b.dtype)
        # V grows with L unless it is normalised: then no autocast up to the norm
        with nullcontext() if self.normalize else without_autocast(x):
            z = self.gcn(v)  # Z (N, S, K)
            y = (z @ b.to(z.dtype)).reshape(x.shape[0], self.num_states, *x.shape[2:])
            return x + self.blocker(self.conv_extend(y)).to(x.dtype)

    def project(self, x: Tensor) -> Tensor:
        """The projection B: how much each position gives to each node, and takes.

        Args:
            x (Tensor): The unit's input, (N, C, *spatial).

        Returns:
            Tensor: (N, K, *spatial).
        """
        self._check_input(x)
        return self.conv_proj(x)

    def chosen_order(self, x: Tensor) -> str:
        """The order in which the unit multiplies for `x`: direct or reassociated."""
        return 'reassociated' if self._can_fuse(x) else 'direct'

    def init_weights(self) -> None:
        """Initialise as the release does, and make the unit the identity.

        Xavier-uniform weights, zero biases, norms at one; then zero for
        `closing_weight`.
        """
        for layer in self.modules():
            weight = getattr(layer, 'weight', None)
            if isinstance(weight, Tensor):
                if weight.dim() > 1:
                    nn.init.xavier_uniform_(weight)
                else:
                    nn.init.ones_(weight)
            bias = getattr(layer, 'bias', None)
            if isinstance(bias, Tensor):
                nn.init.zeros_(bias)
        nn.init.zeros_(self.closing_weight)

    @property
    def closing_weight(self) -> nn.Parameter:
        """The weight that makes the unit the identity where it is zero.

        That of `blocker`; where it has none that trains, that of `conv_extend`.
        """
        weight = getattr(self.blocker, 'weight', None)
        if weight is None or not weight.requires_grad:
            conv = self.conv_extend.conv if self.pre_act else self.conv_extend
            weight = conv.weight
        return weight

    def _can_fuse(self, x: Tensor) -> bool:
        """Whether `order` asks for `fused.glore`, and it computes this unit."""
        if self.order == 'direct' or not fused.is_supported():
            return False
        if self.order == 'auto' and not self._is_cheaper(x):
            return False
        biased = self.conv_state, self.conv_proj, self.gcn.conv1
        unbiased = self.gcn.conv2, self.conv_extend
        norms = (nn.Identity, nn.SyncBatchNorm, *_BATCH_NORM)
        half = x.dtype.itemsize < 4 or fused.product_dtype(x).itemsize < 4
        return (
            all(_is_pointwise(conv) and conv.bias is not None for conv in biased)
            and all(_is_pointwise(conv) and conv.bias is None for conv in unbiased)
            and _is_unmodified(self.gcn, GraphConv)
            and _is_unmodified(self.gcn.relu, nn.ReLU)
            and _is_unmodified(self.blocker, *norms)
            # in half precision Y grows too large where neither it nor V is normalised
            and not (half and not self.normalize and type(self.blocker) is nn.Identity)
            and (is_autocast(x) or self.conv_proj.weight.dtype == x.dtype)
            and (x.numel() > 0 or self._sync_group() is not None)
        )

    def _is_cheaper(self, x: Tensor) -> bool:
        """Whether reassociated products take fewer multiplications for `x`."""
        if self._sync_group() is not None:
            return True  # alike in all processes, whatever the sizes of their inputs
        c, s, k = self.in_channels, self.num_states, self.num_nodes
        length = math.prod(x.shape[2:])
        return c * k * (length + s) < s * length * (c + k)

    def _fused(self, x: Tensor) -> Tensor:
        """The same as `forward`, by `fused.glore`."""
        return fused.glore(
            x,
            proj=self.conv_proj.weight,
            proj_bias=self.conv_proj.bias,
            state=self.conv_state.weight,
            state_bias=self.conv_state.bias,
            edges=self.gcn.conv1.weight,
            edges_bias=self.gcn.conv1.bias,
            mix=self.gcn.conv2.weight,
            extend=self.conv_extend.weight,
            norm=self._batch_norm(),
            normalize=self.normalize,
        )

    def _batch_norm(self) -> fused.BatchNorm | None:
        """`blocker` for `fused.glore`; counts the batch, as the norm's forward does."""
        norm = self.blocker
        if isinstance(norm, nn.Identity):
            return None
        tracks = norm.training and norm.track_running_stats
        momentum = norm.momentum or 0.0
        if tracks and norm.num_batches_tracked is not None:
            norm.num_batches_tracked.add_(1)
            if norm.momentum is None:
                momentum = 1 / float(norm.num_batches_tracked)
        return fused.BatchNorm(
            norm.weight,
            norm.bias,
            norm.running_mean if tracks or not norm.training else None,
            norm.running_var if tracks or not norm.training else None,
            norm.training or norm.running_mean is None,
            momentum,
            norm.eps,
            self._sync_group(),
        )

    def _sync_group(self) -> 'dist.ProcessGroup | None':
        """The processes that `blocker` takes its statistics from, if several."""
        norm = self.blocker
        if not (type(norm) is nn.SyncBatchNorm and norm.training):
            return None
        if not (dist.is_available() and dist.is_initialized()):
            return None
        group = norm.process_group or dist.group.WORLD
        return group if dist.get_world_size(group) > 1 else None

    def _check_input(self, x: Tensor) -> None:
        if torch.jit.is_tracing():
            return  # sizes are recorded, not known
        name = type(self).__name__
        if x.dim() != self.dim + 2 or x.shape[1] != self.in_channels:
            spatial = ('L', 'H, W', 'T, H, W')[self.dim - 1]
            raise ValueError(
                f'{name} takes an input (N, {self.in_channels}, {spatial}), '
                f'but was given {tuple(x.shape)}'
            )
        if self._warned_of_size or torch.compiler.is_compiling():
            return
        positions = math.prod(x.shape[2:])
        if positions < self.num_nodes:
            self._warned_of_size = True
            warnings.warn(
                f'{name} has more nodes ({self.num_nodes}) than its input has '
                f'positions ({positions}, from {tuple(x.shape)}): '
                'lower num_nodes or insert the unit where the map is larger',
                stacklevel=2,
            )

    def _load_from_state_dict(
        self, state_dict: dict[str, Any], prefix: str, *args: Any
    ) -> None:
        """Load; the release's Cityscapes networks call conv_extend fc_2."""
        old = f'{prefix}fc_2.'
        for name in [name for name in state_dict if name.startswith(old)]:
            new = f'{prefix}conv_extend.{name.removeprefix(old)}'
            state_dict[new] = state_dict.pop(name)
        super()._load_from_state_dict(state_dict, prefix, *args)

    def __prepare_scriptable__(self) -> NoReturn:
        """Called by torch.jit.script."""
        raise NotImplementedError(
            f'{type(self).__name__} cannot be scripted: use torch.jit.trace or '
            'torch.export, or script the network before the unit is inserted'
        )

    def extra_repr(self) -> str:
        """What `print(model)` shows in the unit's first line."""
        text = f'{self.in_channels}, states={self.num_states}, nodes={self.num_nodes}'
        text += ', normalize' if self.normalize else ''
        text += ', pre_act' if self.pre_act else ''
        return text + (f', {self.order}' if self.order != 'auto' else '')


class GloRe1d(GloRe):
    """`GloRe` for sequences (N, C, L); arguments as there."""

    dim = 1


class GloRe2d(GloRe):
    """`GloRe` for images (N, C, H, W); arguments as there."""

    dim = 2


class GloRe3d(GloRe):
    """`GloRe` for video (N, C, T, H, W); arguments as there."""

    dim = 3


class GraphConv(nn.Module):
    """One graph convolution over learned edges: (I − A) V W, the sign of A being free.

    Args:
        conv1 (nn.Module): A, (N, K, S) → (N, K, S): mixes nodes.
        conv2 (nn.Module): W, (N, S, K) → (N, S, K): mixes states.
        relu (nn.Module): Between them.
    """

    def __init__(self, conv1: Layer, conv2: Layer, relu: nn.Module) -> None:
        super().__init__()
        self.conv1 = conv1
        self.relu = relu
        self.conv2 = conv2

    def forward(self, v: Tensor) -> Tensor:
        """(N, S, K) → (N, S, K)."""
        mixed = self.conv1(v.transpose(1, 2)).transpose(1, 2)  # (N, S, K)
        return self.conv2(self.relu(v + mixed))


class NormReLUConv(nn.Module):
    """A pre-activation layer: norm, ReLU, 1×1 convolution.

    Args:
        norm (nn.Module): For maps of `dim` dimensions.
        conv (nn.Module): For maps of `dim` dimensions, or of one: the nodes.
        dim (int): 1, 2 or 3.
    """

    def __init__(self, norm: Layer, conv: Layer, dim: int) -> None:
        super().__init__()
        self.norm = norm
        self.conv = conv
        self.dim = dim

    def forward(self, x: Tensor) -> Tensor:
        """(N, C_in, *spatial) → (N, C_out, *spatial)."""
        missing = (1,) * (self.dim + 2 - x.dim())
        y = self.norm(x.reshape(*x.shape, *missing)).reshape(x.shape)
        return self.conv(F.relu(y))


def _record_call(unit: GloRe, x: Any) -> Any:
    """Record a unit as one call of a module, whatever the tracer of torch.fx."""
    path = x.tracer.path_of_module(unit)
    if not path:
        raise TypeError('torch.fx does not look into a unit: trace what holds it')
    return x.tracer.create_proxy('call_module', path, (x,), {})


def _is_unmodified(layer: nn.Module, *types: type) -> bool:
    """Whether a layer does what one of these classes says, and nothing beside it."""
    hooks = (
        layer._forward_hooks,
        layer._forward_pre_hooks,
        layer._backward_hooks,
        layer._backward_pre_hooks,
    )
    # parametrised and quantised layers are of other classes
    return type(layer) in types and 'forward' not in layer.__dict__ and not any(hooks)


def _is_pointwise(layer: Layer) -> bool:
    """Whether a layer is a plain 1×1 convolution: its weight is all of it."""
    return (
        _is_unmodified(layer, *_CONV)
        and all(size == 1 for size in layer.kernel_size + layer.stride)
        and not any(layer.padding)
        and layer.groups == 1
    )


def _check_size(name: str, value: int | None, default: int | None = None) -> int:
    value = default if value is None else value
    if type(value) is not int or value < 1:
        raise ValueError(
            f'GloRe: {name} must be an integer of at least 1, got {value!r}'
        )
    return value
