"""The global reasoning unit.

Chen, Rohrbach, Yan, Yan, Feng, Kalantidis: Graph-Based Global Reasoning Networks.
CVPR 2019, https://arxiv.org/abs/1811.12814. Parameter names are those of the released
code (https://github.com/facebookresearch/GloRe).
"""

import math
import warnings
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any, NoReturn, TypeAlias

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn
from torch.fx import Proxy

from glore_mm import fused
from glore_mm.matmul import is_autocast, matmul_nt, without_autocast

#: A module whose attributes depend on how it was built, unknown to type checkers.
Layer: TypeAlias = Any
#: The name of `conv_extend` in the Cityscapes networks of the release.
CONV_EXTEND_ALIAS = 'fc_2'

_CONV = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
_BATCH_NORM = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
_ORDERS = ('auto', 'direct', 'reassociated')


@dataclass(frozen=True)
class NodeSums:
    """Sums over the positions of windows, from which node states are computed.

    Those of all windows of an input add up to those of the input.

    Attributes:
        states (Tensor): conv_state(X) Bᵀ, (N, S, K), in float64 (float32 on MPS).
        positions (float): The number of positions, or the sum of their weights.
    """

    states: Tensor
    positions: float

    def __add__(self, other: 'NodeSums') -> 'NodeSums':
        """Return the sums over the windows of both."""
        return NodeSums(self.states + other.states, self.positions + other.positions)

    def __radd__(self, zero: int) -> 'NodeSums':
        """Return the sums unchanged: `sum` starts with 0."""
        return self


class GloRe(nn.Module):
    """Global reasoning over a feature map; use GloRe1d, GloRe2d or GloRe3d.

    The L positions of the input X are projected onto K nodes, each with a state of S
    values. A graph convolution exchanges information between the nodes. The same
    projection maps the result back to the positions::

        B = conv_proj(X)                              (N, K, L)
        V = conv_state(X) Bᵀ                          (N, S, K), / L if normalize
        Z = gcn.conv2(relu(V + gcn.conv1(Vᵀ)ᵀ))       (N, S, K)
        out = X + blocker(conv_extend(Z B))           (N, C, L)

    A new unit is the identity: the weight of `blocker` starts at zero, or that of
    `conv_extend` if the unit has no closing norm with a trainable weight.

    Args:
        in_channels (int): C, the channels of the input and of the output.
        num_states (int, optional): S, the length of a node's state. Default: C // 2.
        num_nodes (int, optional): K, the number of nodes. Default: C // 4.
        normalize (bool): Divide V by L: the states are means over positions, not sums.
            Default: False.
        pre_act (bool): The form of the ImageNet release: norm and ReLU before every
            convolution, convolutions without bias, no closing norm. The layers are then
            `<name>.norm` and `<name>.conv`. Default: False.
        order (str): The order of the matrix products. 'direct': as written above.
            'reassociated': the same function, computed by `glore_mm.fused`; units with
            `pre_act`, and units whose layers were replaced or modified, stay direct.
            'auto': the order that takes fewer multiplications for the given input.
            Default: 'auto'.
        norm_layer (Callable, optional): Builds a norm from its number of channels, such
            as `nn.BatchNorm2d`; `nn.Identity` leaves the norm out. Default: batch norm
            with the eps of the release, 1e-4.
        conv_layer (Callable, optional): Builds the convolutions over positions; takes
            the arguments of `nn.Conv2d`. Default: the convolution of torch.
        device, dtype (optional): Of the parameters, as for the layers of torch.

    Raises:
        ValueError: A size is not an integer of at least 1, or `order` is unknown.

    Shape:
        Input and output: (N, C, *spatial).

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
        device: torch.device | str | int | None = None,
        dtype: torch.dtype | None = None,
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
                layer = make(inputs, outputs, kernel_size=1, bias=False)
                return NormReLUConv(norm(inputs), layer, self.dim)
            return make(inputs, outputs, kernel_size=1, bias=bias)

        self.conv_state = conv(conv_layer, channels, states, bias=True)
        self.conv_proj = conv(conv_layer, channels, nodes, bias=True)
        self.gcn = GraphConv(
            conv(nn.Conv1d, nodes, nodes, bias=True),
            conv(nn.Conv1d, states, states, bias=False),
            nn.Identity() if pre_act else nn.ReLU(inplace=True),
        )
        self.conv_extend = self._make_conv_extend(
            lambda outputs: conv(conv_layer, states, outputs, bias=False)
        )
        self.blocker: Layer = nn.Identity() if pre_act else norm(channels)
        self.init_weights()
        if device is not None or dtype is not None:  # fake tensors cannot be moved
            self.to(device=device, dtype=dtype)

    def forward(self, x: Tensor) -> Tensor:
        """Add the output of the reasoning to `x`. (N, C, *spatial) → the same shape."""
        if isinstance(x, Proxy):
            return _record_call(self, x)
        self._check_input(x)
        if self._can_fuse(x):
            return self._fused(x)
        b = self.conv_proj(x)
        v = self._node_states(x, b)
        if self.normalize:
            v = v / math.prod(b.shape[2:])
        return self._distribute(x, b, v)

    def gather(self, x: Tensor, weight: Tensor | None = None) -> 'NodeSums':
        """Return what the nodes gather from a window of a larger input.

        The sums of all windows, given to `distribute` with each window, give the output
        for the whole input. The unit must be in evaluation mode::

            sums = sum(unit.gather(window) for window in windows)
            outputs = [unit.distribute(window, sums) for window in windows]

        Args:
            x (Tensor): The window, (N, C, *spatial); all windows have the same N.
            weight (Tensor, optional): The share with which a position counts, of a
                shape that broadcasts to (*spatial). Positions in several windows count
                once if their weights add up to 1. Default: 1.

        Raises:
            ValueError: A norm of the unit uses the statistics of its input, which are
                not those of the whole.
        """
        self._check_input(x)
        self._check_norms()
        b = self.conv_proj(x)
        positions = float(math.prod(b.shape[2:]))
        if weight is not None:
            weight = weight.to(b).expand(b.shape[2:])
            b, positions = b * weight, float(weight.double().sum())
        states = self._node_states(x, b)
        wide = torch.float32 if x.device.type == 'mps' else torch.float64
        return NodeSums(states.to(wide), positions)

    def distribute(self, x: Tensor, sums: 'NodeSums') -> Tensor:
        """Compute `forward` for a window of a larger input.

        Args:
            x (Tensor): The window, (N, C, *spatial).
            sums (NodeSums): The sum of `gather` over the windows.

        Returns:
            Tensor: The part of the output that belongs to the window, as `x`.

        Raises:
            ValueError: See `gather`.
        """
        self._check_input(x)
        self._check_norms()
        b = self.conv_proj(x)
        v = sums.states / sums.positions if self.normalize else sums.states
        return self._distribute(x, b, v.to(torch.promote_types(b.dtype, torch.float32)))

    def _node_states(self, x: Tensor, b: Tensor) -> Tensor:
        """Return V, not normalised, for X and B. (N, S, K)."""
        return matmul_nt(self.conv_state(x).flatten(2), b.flatten(2))

    def _distribute(self, x: Tensor, b: Tensor, v: Tensor) -> Tensor:
        """Return the output for X, B and V."""
        v = v if is_autocast(x) else v.to(b.dtype)
        # without `normalize` V grows with L: no autocast up to the norm
        with nullcontext() if self.normalize else without_autocast(x):
            z = self.gcn(v)  # Z (N, S, K)
            y = z @ b.flatten(2).to(z.dtype)
            y = y.reshape(x.shape[0], self.num_states, *x.shape[2:])
            return x + self.blocker(self.conv_extend(y)).to(x.dtype)

    def project(self, x: Tensor) -> Tensor:
        """Return the projection: the weight of each position in each node.

        Args:
            x (Tensor): The input of the unit, (N, C, *spatial).

        Returns:
            Tensor: B, (N, K, *spatial).
        """
        self._check_input(x)
        return self.conv_proj(x)

    def chosen_order(self, x: Tensor) -> str:
        """Return the order of the products for `x`: 'direct' or 'reassociated'."""
        return 'reassociated' if self._can_fuse(x) else 'direct'

    def init_weights(self) -> None:
        """Initialise as the release does, and make the unit the identity.

        Weights are Xavier-uniform, weights of norms 1, biases 0. `closing_weight` is 0.

        Raises:
            ValueError: `closing_weight` is not a parameter, as with weight_norm.
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
        weight = self.closing_weight
        if not isinstance(weight, nn.Parameter):
            raise ValueError(
                f'{type(self).__name__} cannot start as the identity: the weight of '
                'its last layer is computed from others, as by weight_norm. Give it a '
                'norm with a trainable weight, such as norm_layer=nn.BatchNorm2d'
            )
        nn.init.zeros_(weight)

    @property
    def closing_weight(self) -> nn.Parameter:
        """The weight that makes the unit the identity when it is zero.

        It is the weight of `blocker`, or that of `conv_extend` if `blocker` has no
        trainable weight.
        """
        weight = getattr(self.blocker, 'weight', None)
        if weight is None or not weight.requires_grad:
            conv = self.conv_extend.conv if self.pre_act else self.conv_extend
            weight = conv.weight
        return weight

    def _make_conv_extend(self, make: Callable[[int], Layer]) -> Layer:
        """Build `conv_extend`; `make` builds a layer from its number of outputs."""
        return make(self.in_channels)

    def _can_fuse(self, x: Tensor) -> bool:
        """Whether `order` selects `fused.glore`, and that computes this unit."""
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
            # in half precision Y overflows if neither Y nor V is normalised
            and not (half and not self.normalize and type(self.blocker) is nn.Identity)
            and (is_autocast(x) or self.conv_proj.weight.dtype == x.dtype)
            and (x.numel() > 0 or self._sync_group() is not None)
        )

    def _is_cheaper(self, x: Tensor) -> bool:
        """Whether the reassociated order takes fewer multiplications for `x`."""
        if self._sync_group() is not None:
            return True  # all processes must agree, whatever their input sizes
        c, s, k = self.in_channels, self.num_states, self.num_nodes
        length = math.prod(x.shape[2:])
        return c * k * (length + s) < s * length * (c + k)

    def _fused(self, x: Tensor) -> Tensor:
        """Compute `forward` with `fused.glore`."""
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
        """Return `blocker` as `fused.glore` takes it, and count the batch.

        The forward pass of the norm would count it, too.
        """
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
        """The processes that share the statistics of `blocker`; None: only this one."""
        norm = self.blocker
        if not (type(norm) is nn.SyncBatchNorm and norm.training):
            return None
        if not (dist.is_available() and dist.is_initialized()):
            return None
        group = norm.process_group or dist.group.WORLD
        return group if dist.get_world_size(group) > 1 else None

    def _check_input(self, x: Tensor) -> None:
        if torch.jit.is_tracing():
            return  # a check of traced sizes would be fixed to those of this input
        name = type(self).__name__
        if x.dim() != self.dim + 2 or x.shape[1] != self.in_channels:
            spatial = ('L', 'H, W', 'T, H, W')[self.dim - 1]
            raise ValueError(
                f'{name} expects an input of shape (N, {self.in_channels}, {spatial}), '
                f'got {tuple(x.shape)}'
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

    def _check_norms(self) -> None:
        """Check that no norm over positions uses the statistics of its input."""
        for name, layer in self.named_modules():
            if name.startswith('gcn.'):
                continue  # its input is the same for all windows
            batch = isinstance(layer, nn.modules.batchnorm._NormBase)
            if isinstance(layer, nn.GroupNorm) or (
                batch and (layer.training or layer.running_mean is None)
            ):
                raise ValueError(
                    f'{type(self).__name__}: {name} is {layer}, which uses the '
                    'statistics of its input, here of a window. Use a batch norm with '
                    'running statistics, and call eval()'
                )

    def _load_from_state_dict(
        self, state_dict: dict[str, Any], prefix: str, *args: Any
    ) -> None:
        """Load weights, also under the name `CONV_EXTEND_ALIAS`."""
        old = f'{prefix}{CONV_EXTEND_ALIAS}.'
        for name in [name for name in state_dict if name.startswith(old)]:
            new = f'{prefix}conv_extend.{name.removeprefix(old)}'
            state_dict[new] = state_dict.pop(name)
        super()._load_from_state_dict(state_dict, prefix, *args)

    def __prepare_scriptable__(self) -> NoReturn:
        """Raise an error; torch.jit.script calls this."""
        raise NotImplementedError(
            f'{type(self).__name__} cannot be scripted: use torch.jit.trace or '
            'torch.export, or script the network before the unit is inserted'
        )

    def extra_repr(self) -> str:
        """Return the text of the unit's first line in `print(model)`."""
        text = f'{self.in_channels}, states={self.num_states}, nodes={self.num_nodes}'
        text += ', normalize' if self.normalize else ''
        text += ', pre_act' if self.pre_act else ''
        return text + (f', {self.order}' if self.order != 'auto' else '')


class GloRe1d(GloRe):
    """`GloRe` for sequences (N, C, L), with the same arguments."""

    dim = 1


class GloRe2d(GloRe):
    """`GloRe` for images (N, C, H, W), with the same arguments."""

    dim = 2


class GloRe3d(GloRe):
    """`GloRe` for video (N, C, T, H, W), with the same arguments."""

    dim = 3


class GraphConv(nn.Module):
    """A graph convolution with learned edges, (I − A) V W, and a ReLU before W.

    The code adds `conv1(V)`, so the weight of `conv1` is −A.

    Args:
        conv1 (nn.Module): −A, (N, K, S) → (N, K, S), mixes the nodes.
        conv2 (nn.Module): W, (N, S, K) → (N, S, K), mixes the states.
        relu (nn.Module): The activation before `conv2`.
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
        norm (nn.Module): Takes maps of `dim` spatial dimensions.
        conv (nn.Module): Takes maps of `dim` spatial dimensions; of one in `GraphConv`.
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
    """Record a unit as one module call, whichever tracer of torch.fx is used."""
    path = x.tracer.path_of_module(unit)
    if not path:
        raise TypeError(
            'torch.fx cannot trace a unit alone: trace a module that contains it'
        )
    return x.tracer.create_proxy('call_module', path, (x,), {})


def _is_unmodified(layer: nn.Module, *types: type) -> bool:
    """Whether a layer is exactly of one of these classes, without hooks."""
    hooks = (
        layer._forward_hooks,
        layer._forward_pre_hooks,
        layer._backward_hooks,
        layer._backward_pre_hooks,
    )
    # parametrised and quantised layers have classes of their own
    return type(layer) in types and 'forward' not in layer.__dict__ and not any(hooks)


def _is_pointwise(layer: Layer) -> bool:
    """Whether a layer is a plain 1×1 convolution, given by its weight and bias."""
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
