"""The global reasoning unit.

Chen, Rohrbach, Yan, Yan, Feng, Kalantidis: Graph-Based Global Reasoning Networks.
CVPR 2019, https://arxiv.org/abs/1811.12814. Parameter names are those of the code
released with it (https://github.com/facebookresearch/GloRe).
"""

import math
import re
import warnings
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from mmengine.registry import MODELS
from torch import Tensor, nn

from glore_mm import reassociated
from glore_mm.products import over_positions, per_position
from glore_mm.reassociated import Layer, fixed_affine, is_plain, is_pointwise, shared_by

_CONV = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}
_AVG_POOL = {1: F.avg_pool1d, 2: F.avg_pool2d, 3: F.avg_pool3d}
_NORM: dict[str, dict[int, Layer]] = {
    'BN': {1: nn.BatchNorm1d, 2: nn.BatchNorm2d, 3: nn.BatchNorm3d},
    'IN': {1: nn.InstanceNorm1d, 2: nn.InstanceNorm2d, 3: nn.InstanceNorm3d},
}
_LONG = dict(BatchNorm='BN', InstanceNorm='IN', SyncBatchNorm='SyncBN', GroupNorm='GN')


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

    The products have two orders, which give the same numbers: the direct one, as
    written above, and another that never forms the S×L maps (`glore_mm.reassociated`).
    Where L is large the other is up to twice as cheap, and keeps little more than B for
    the backward pass.

    Half precision: V is summed in float32. Without `normalize` V grows with L, so that
    under autocast everything from V up to and including `blocker` runs in float32; in
    the other order what is small does, always.

    Args:
        in_channels (int): C, the channels of the input and of the output.
        num_states (int, optional): S, the length of a node's state. Default: C // 2.
        num_nodes (int, optional): K, the number of nodes. Default: C // 4.
        normalize (bool): Divide V by the number of positions that were summed. Turn it
            on where the size of the input varies. Default: False.
        pool (int | Sequence[int]): V is computed on a grid that average pooling made
            this many times coarser; the way back keeps full resolution. Default: 1.
        pre_act (bool): The form of the ImageNet release: batch norm and ReLU before
            every convolution, convolutions without bias, no closing norm. The layers
            are then `<name>.norm` and `<name>.conv`. Default: False.
        conv_cfg (dict, optional): Type of the convolutions over positions, as in mmcv.
            The two of the graph are always Conv1d. Default: None, torch's own.
        norm_cfg (dict, optional): The norm, as in mmcv. None leaves the norm out.
            Default: batch norm with the eps of the release.
        order (str): Of the matrix products: 'direct', 'reassociated', or 'auto', the
            one with fewer multiplications for the input at hand (and 'reassociated'
            where sync batch norm runs over several processes). 'reassociated' reads
            the weights of plain 1×1 convolutions; where a layer is anything else
            (another type, hooked, parametrised, with a norm of its own as in `pre_act`)
            the products that it takes part in stay direct. Default: 'auto'.
        keep_pooled (bool): In the other order, keep X Bᵀ for the backward pass: some
            7 % faster, for K / L of the memory of X. It is kept anyway where that is a
            sixteenth or less. Default: False.

    Raises:
        TypeError: A size is not an integer.
        ValueError: A size is below one, a layer type is made for other dimensions, or
            `order` is none of the three.

    Shape:
        (N, C, *spatial) → the same.
    """

    _abbr_ = 'glore'  # name of the layer where mmcv's build_plugin_layer makes it
    dim: int

    def __init__(
        self,
        in_channels: int,
        num_states: int | None = None,
        num_nodes: int | None = None,
        normalize: bool = False,
        pool: int | Sequence[int] = 1,
        pre_act: bool = False,
        conv_cfg: dict[str, Any] | None = None,
        norm_cfg: dict[str, Any] | None = dict(type='BN', eps=1e-4),  # noqa: B006, never written
        order: str = 'auto',
        keep_pooled: bool = False,
    ) -> None:
        super().__init__()
        if not hasattr(self, 'dim'):
            raise TypeError('GloRe is abstract: build GloRe1d, GloRe2d or GloRe3d')
        self.in_channels = self._positive('in_channels', in_channels)
        self.num_states = self._positive(
            'num_states', in_channels // 2 if num_states is None else num_states
        )
        self.num_nodes = self._positive(
            'num_nodes', in_channels // 4 if num_nodes is None else num_nodes
        )
        self.pool = tuple(pool) if isinstance(pool, Sequence) else (pool,) * self.dim
        if len(self.pool) != self.dim:
            raise ValueError(
                f'{type(self).__name__} pools over {self.dim} dimensions, '
                f'but pool={pool!r} gives {len(self.pool)}'
            )
        for size in self.pool:
            self._positive('pool', size)
        self._check_layer('conv_cfg', conv_cfg, 'Conv')
        self._check_layer('norm_cfg', norm_cfg, 'BN')
        if order not in ('auto', 'direct', 'reassociated'):
            raise ValueError(
                f"{type(self).__name__}: order must be 'auto', 'direct' or "
                f"'reassociated', got {order!r}"
            )
        self.normalize = normalize
        self.pre_act = pre_act
        self.order = order
        self.keep_pooled = keep_pooled

        def conv(dim: int, inputs: int, outputs: int, bias: bool) -> Layer:
            cfg = conv_cfg if dim == self.dim else None
            if pre_act:
                return NormReLUConv(
                    _build_norm(norm_cfg, dim, inputs),
                    _build_conv(cfg, dim, inputs, outputs, bias=False),
                )
            return _build_conv(cfg, dim, inputs, outputs, bias)

        channels, states, nodes = self.in_channels, self.num_states, self.num_nodes
        self.conv_state = conv(self.dim, channels, states, bias=True)
        self.conv_proj = conv(self.dim, channels, nodes, bias=True)
        self.gcn = GraphConv(
            # over nodes, then over states; a graph has one dimension whatever the map
            conv(1, nodes, nodes, bias=True),
            conv(1, states, states, bias=False),
            pre_act,
        )
        self.conv_extend = conv(self.dim, states, channels, bias=False)
        self.blocker: Layer = (
            nn.Identity() if pre_act else _build_norm(norm_cfg, self.dim, channels)
        )
        self._warned_of_size = False
        self.init_weights()

    def init_weights(self) -> None:
        """Initialise as the release does, and make the unit the identity.

        Xavier-uniform weights, zero biases, norms at one; then zero for the weight that
        the result passes last.
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
        """The weight that the result passes last: of `blocker`, or of `conv_extend`.

        The latter where no norm with a trainable weight closes the unit.
        """
        closing = getattr(self.blocker, 'weight', None)
        if closing is None or not closing.requires_grad:
            extend = self.conv_extend.conv if self.pre_act else self.conv_extend
            closing = extend.weight
        return closing

    def project(self, x: Tensor) -> Tensor:
        """The projection B of coordinate space onto the nodes.

        Args:
            x (Tensor): The unit's input, (N, C, *spatial).

        Returns:
            Tensor: (N, K, *spatial); map k is how much each position gives to node k
            and takes from it.
        """
        self._check_input(x)
        return self.conv_proj(x)

    def reassociates(self, x: Tensor) -> bool:
        """Whether the unit multiplies in the other order, for the positions of `x`."""
        if self.order != 'auto':
            return self.order == 'reassociated'
        if shared_by(self.blocker) is not None:
            return True  # alike in all processes, whatever the sizes of their inputs
        channels, states, nodes = self.in_channels, self.num_states, self.num_nodes
        positions = math.prod(x.shape[2:])
        # one way, of two that cost the same: the direct order, and the other
        direct = states * positions * (channels + nodes)
        return channels * nodes * (positions + states) < direct

    def forward(self, x: Tensor) -> Tensor:
        """Add to each position what the graph found. (N, C, *spatial) → the same."""
        self._check_input(x)
        plain = self.reassociates(x) and is_plain(self.gcn, GraphConv)
        if plain and reassociated.fits(self, x):
            return reassociated.reason(self, x)
        # from here on each half takes the other order where its own layers allow it
        projection = self.conv_proj(x)  # (N, K, *spatial)
        nodes = self._gather(x, projection)  # (N, S, K)
        amp = torch.is_autocast_enabled(x.device.type)
        if not amp:
            nodes = nodes.to(x.dtype)
        with torch.autocast(x.device.type, enabled=amp and self.normalize):
            nodes = self.gcn(nodes)  # (N, S, K)
            back = projection.flatten(2).to(nodes.dtype)  # (N, K, L)
            return self._give_back(x, nodes, back)

    def _gather(self, x: Tensor, projection: Tensor) -> Tensor:
        """V (N, S, K), at least in float32: what the positions give to the nodes."""
        if max(self.pool) > 1:  # conv_proj is linear: pooling B is pooling its input
            x, projection = self._coarser(x), self._coarser(projection)
        conv = self.conv_state
        reassociates = self.reassociates(x)
        if reassociates and is_plain(conv, NormReLUConv):
            x, conv = conv.activate(x), conv.conv
        reassociates = reassociates and is_pointwise(conv)
        states = (x if reassociates else conv(x)).flatten(2)  # (N, C or S, L)
        back = projection.flatten(2)  # (N, K, L)
        with torch.autocast(x.device.type, enabled=False):
            nodes = over_positions(states.to(back.dtype), back)  # (N, C or S, K)
            if reassociates:
                nodes = conv.weight.flatten(1).to(nodes.dtype) @ nodes
                if conv.bias is not None:
                    total = back.sum(2, dtype=nodes.dtype)  # (N, K)
                    nodes = nodes + conv.bias[:, None] * total[:, None]
            return nodes / back.shape[2] if self.normalize else nodes

    def _give_back(self, x: Tensor, nodes: Tensor, back: Tensor) -> Tensor:
        """X + Y (N, C, *spatial) from Z (N, S, K) and B (N, K, L)."""
        conv = self.conv_extend
        readable = is_pointwise(conv) and conv.bias is None
        reassociates = readable and self.reassociates(x)
        inferring = not torch.is_grad_enabled() and not torch.jit.is_tracing()
        if readable and inferring and x.dtype == nodes.dtype:
            affine = fixed_affine(self.blocker)
            if affine is not None:  # the norm is folded into the weight
                scale, shift = (t.to(x.dtype) for t in affine)
                weight = scale[:, None] * conv.weight.flatten(1).to(x.dtype)
                if reassociates:
                    product = weight @ nodes, back
                else:
                    product = weight, per_position((nodes, back))
                out = per_position(product, bias=shift, add=x.flatten(2))
                return out.unflatten(2, x.shape[2:])
        if reassociates:
            y = per_position((conv.weight.flatten(1) @ nodes, back))
            y = y.unflatten(2, x.shape[2:])
        else:
            y = conv(per_position((nodes, back)).unflatten(2, x.shape[2:]))
        return x + self.blocker(y).to(x.dtype)

    def _coarser(self, x: Tensor) -> Tensor:
        # ceil: a rim smaller than the window is averaged by itself, not lost
        return _AVG_POOL[self.dim](x, self.pool, ceil_mode=True)

    def _check_input(self, x: Tensor) -> None:
        if torch.jit.is_tracing():
            return  # sizes are recorded, not known
        if x.dim() != self.dim + 2 or x.shape[1] != self.in_channels:
            spatial = ('L', 'H, W', 'T, H, W')[self.dim - 1]
            raise ValueError(
                f'{type(self).__name__} takes an input (N, {self.in_channels}, '
                f'{spatial}), but was given {tuple(x.shape)}'
            )
        if self._warned_of_size or torch.compiler.is_compiling():
            return
        positions = math.prod(x.shape[2:])
        if positions < self.num_nodes:
            self._warned_of_size = True
            warnings.warn(
                f'{type(self).__name__} has more nodes ({self.num_nodes}) than its '
                f'input has positions ({positions}, from {tuple(x.shape)}): '
                'lower num_nodes or insert the unit where the map is larger',
                stacklevel=2,
            )

    def _positive(self, name: str, value: int) -> int:
        if isinstance(value, bool) or not isinstance(value, int):
            raise TypeError(
                f'{type(self).__name__}: {name} must be an integer, got {value!r}'
            )
        if value < 1:
            raise ValueError(
                f'{type(self).__name__}: {name} must be at least 1, got {value}'
            )
        return value

    def _check_layer(self, key: str, cfg: dict[str, Any] | None, default: str) -> None:
        if not isinstance(cfg, dict | None):
            raise TypeError(
                f'{type(self).__name__}: {key} must be a dict such as '
                f'dict(type={default!r}), got {cfg!r}'
            )
        family, dims = _layer_type(cfg or {}, default)
        if dims not in (None, self.dim):
            raise ValueError(
                f'{type(self).__name__}: the type in {key}={cfg!r} is made for {dims} '
                f'dimension(s), the unit has {self.dim}; use type={family!r}'
            )

    def extra_repr(self) -> str:
        """What `print(model)` shows in the unit's first line."""
        text = f'{self.in_channels}, states={self.num_states}, nodes={self.num_nodes}'
        text += ', normalize' if self.normalize else ''
        text += f', pool={self.pool}' if max(self.pool) > 1 else ''
        text += ', pre_act' if self.pre_act else ''
        return text + (f', {self.order}' if self.order != 'auto' else '')


@MODELS.register_module()
class GloRe1d(GloRe):
    """`GloRe` for sequences (N, C, L)."""

    dim = 1


@MODELS.register_module()
class GloRe2d(GloRe):
    """`GloRe` for images (N, C, H, W)."""

    dim = 2


@MODELS.register_module()
class GloRe3d(GloRe):
    """`GloRe` for video (N, C, T, H, W)."""

    dim = 3


for _unit in (GloRe1d, GloRe2d, GloRe3d):
    if _unit.__doc__ and GloRe.__doc__:  # `python -OO` drops them
        _unit.__doc__ += GloRe.__doc__.split('\n', 1)[1]


class GraphConv(nn.Module):
    """One graph convolution over learned edges: (I − A) V W, the sign of A being free.

    Args:
        conv1 (nn.Module): A, (N, K, S) → (N, K, S): mixes nodes.
        conv2 (nn.Module): W, (N, S, K) → (N, S, K): mixes states.
        pre_act (bool): Both layers bring their own norm and ReLU.
    """

    def __init__(self, conv1: Layer, conv2: Layer, pre_act: bool) -> None:
        super().__init__()
        self.conv1 = conv1
        self.relu = nn.Identity() if pre_act else nn.ReLU(inplace=True)
        self.conv2 = conv2

    def forward(self, nodes: Tensor) -> Tensor:
        """(N, S, K) → (N, S, K)."""
        mixed = self.conv1(nodes.transpose(1, 2)).transpose(1, 2)  # (N, S, K)
        return self.conv2(self.relu(nodes + mixed))


class NormReLUConv(nn.Module):
    """A pre-activation layer: norm, ReLU, 1×1 convolution."""

    def __init__(self, norm: Layer, conv: Layer) -> None:
        super().__init__()
        self.norm = norm
        self.conv = conv

    def activate(self, x: Tensor) -> Tensor:
        """What the convolution is given."""
        return F.relu(self.norm(x))

    def forward(self, x: Tensor) -> Tensor:
        """(N, C_in, *spatial) → (N, C_out, *spatial)."""
        return self.conv(self.activate(x))


def _layer_type(cfg: dict[str, Any], default: str) -> tuple[str, int | None]:
    """Family ('BN', 'Conv') and dimensions, if given, of the type in a layer config."""
    kind = cfg.get('type', default)
    name = kind.__name__ if isinstance(kind, type) else kind
    dims = re.search(r'([123])d$', name)
    family = name[:-2] if dims else name
    return _LONG.get(family, family), int(dims[1]) if dims else None


def _build_conv(
    cfg: dict[str, Any] | None, dim: int, inputs: int, outputs: int, bias: bool
) -> Layer:
    """A 1×1 convolution over `dim` dimensions."""
    cfg = dict(cfg or {})
    family, _ = _layer_type(cfg, 'Conv')
    if family == 'Conv':
        cfg.pop('type', None)
        return _CONV[dim](inputs, outputs, 1, bias=bias, **cfg)
    from mmcv.cnn import build_conv_layer

    return build_conv_layer(cfg, inputs, outputs, kernel_size=1, bias=bias)


def _build_norm(cfg: dict[str, Any] | None, dim: int, features: int) -> Layer:
    """A norm of `features` channels over `dim` dimensions."""
    if cfg is None:
        return nn.Identity()
    family, _ = _layer_type(cfg, 'BN')
    if family not in (*_NORM, 'SyncBN', 'GN'):
        from mmcv.cnn import build_norm_layer

        return build_norm_layer(cfg, features)[1]
    cfg = {key: value for key, value in cfg.items() if key != 'type'}
    requires_grad = cfg.pop('requires_grad', True)
    if family == 'GN':
        norm = nn.GroupNorm(num_channels=features, **cfg)
    elif family == 'SyncBN':
        norm = nn.SyncBatchNorm(features, **cfg)
    else:
        norm = _NORM[family][dim](features, **cfg)
    return norm.requires_grad_(requires_grad)
