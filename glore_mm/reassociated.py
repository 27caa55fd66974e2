"""The unit with its matrix products in the other order: no S×L map is formed.

The projections are linear. For an input X (C, L) and its projection B (K, L), the nodes
and the way back are the same numbers as::

    P = X Bᵀ                        (C, K)
    V = W_s P + b_s (B 1)ᵀ          (S, K)
    M = W_e Z                       (C, K)
    Y = M B                         (C, L)

Batch norm of Y needs no Y either. B is held as D = B − b̄ 1ᵀ, b̄ its mean over the
positions of a sample: then M b̄ is the sample's mean of Y, and the diagonal of M D Dᵀ Mᵀ
the sum of squares around it. For the gradients X, D and the incoming g are enough; the
rest is small, and computed again. With the mean m and r = 1/√(var + ε) of each channel
of Y, a = γ r, n positions in the batch, and Σ over its samples::

    ∂β = Σ g 1       ∂γ = r Σ (g Dᵀ ∘ M) 1 + r Σ (M b̄ − m) ∘ g 1
    ∂Y = a (g − e 1ᵀ − c M D),     c = r ∂γ / n,     e = ∂β / n + c (M b̄ − m)
    ∂M = ∂Y Bᵀ = a (g Dᵀ − c M D Dᵀ) + a (g 1 − L e) b̄ᵀ
    ∂B = Mᵀ ∂Y

In half precision the products along positions run in half precision; what is small is
computed in float32.
"""

from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn, TypeAlias

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.autograd import Function

from glore_mm.products import both_channels, over_positions, per_position, project

if TYPE_CHECKING:
    from glore_mm.unit import GloRe

#: A module whose attributes depend on a config, which types cannot tell.
Layer: TypeAlias = Any
_Group: TypeAlias = 'dist.ProcessGroup | None'

_BATCH_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm)


def is_plain(layer: nn.Module, *types: type) -> bool:
    """Whether a layer does what one of these classes says, and nothing beside it."""
    hooks = (
        layer._forward_hooks,
        layer._forward_pre_hooks,
        layer._backward_hooks,
        layer._backward_pre_hooks,
    )
    # parametrised and quantised layers are of other classes
    return type(layer) in types and 'forward' not in layer.__dict__ and not any(hooks)


def is_pointwise(layer: Layer) -> bool:
    """Whether a layer is a plain 1×1 convolution: its weight is all of it."""
    return (
        is_plain(layer, nn.Conv1d, nn.Conv2d, nn.Conv3d)
        and all(size == 1 for size in layer.kernel_size + layer.stride)
        and not any(layer.padding)
        and layer.groups == 1
    )


def fixed_affine(norm: Layer) -> tuple[Tensor, Tensor] | None:
    """Scale and shift (C,) of a batch norm that uses running statistics.

    Returns:
        tuple[Tensor, Tensor], optional: From what the norm holds now. None for a norm
        of another kind, and for one that uses the statistics of the batch.
    """
    if not is_plain(norm, *_BATCH_NORMS) or norm.training or norm.running_mean is None:
        return None
    dtype = torch.promote_types(norm.running_var.dtype, torch.float32)
    scale = (norm.running_var.to(dtype) + norm.eps).rsqrt()
    scale = scale if norm.weight is None else norm.weight * scale
    shift = -norm.running_mean * scale
    return scale, shift if norm.bias is None else norm.bias + shift


def shared_by(norm: Layer) -> _Group:
    """The processes that a norm in training takes its statistics from."""
    synced = type(norm) is nn.SyncBatchNorm and norm.training
    if not (synced and dist.is_available() and dist.is_initialized()):
        return None
    group = norm.process_group or dist.group.WORLD
    return group if dist.get_world_size(group) > 1 else None


def fits(unit: 'GloRe', x: Tensor) -> bool:
    """Whether `reason` computes what a unit with a plain graph does for this input."""
    if torch.jit.is_tracing():
        return False  # a trace must be the same with gradients and without
    gcn, norm = unit.gcn, unit.blocker
    dtype = _product_dtype(x)
    half = torch.promote_types(dtype, torch.float32) != dtype
    biased = unit.conv_proj, unit.conv_state, gcn.conv1
    unbiased = gcn.conv2, unit.conv_extend
    return (
        all(is_pointwise(conv) and conv.bias is not None for conv in biased)
        and all(is_pointwise(conv) and conv.bias is None for conv in unbiased)
        and is_plain(gcn.relu, nn.ReLU)
        and is_plain(norm, nn.Identity, *_BATCH_NORMS)
        and max(unit.pool) == 1
        and (x.numel() > 0 or shared_by(norm) is not None)
        # Y that no norm brings back to size needs float32
        and not (half and not unit.normalize and type(norm) is nn.Identity)
        and (
            torch.is_autocast_enabled(x.device.type)
            or unit.conv_proj.weight.dtype == x.dtype
        )
    )


def reason(unit: 'GloRe', x: Tensor) -> Tensor:
    """What a GloRe unit computes, where it `fits`.

    Args:
        unit (GloRe): The unit; a closing norm's running statistics are moved on.
        x (Tensor): (N, C, *spatial).

    Returns:
        Tensor: (N, C, *spatial), in the memory format of `x`.

    Raises:
        ValueError: The norm is to take statistics of a single position.
    """
    norm = unit.blocker
    flat = x.flatten(2)
    n, channels, length = flat.shape
    settings = Settings(
        _product_dtype(x),
        unit.normalize,
        keep_pooled=torch.is_grad_enabled()
        and (unit.keep_pooled or 16 * unit.num_nodes <= length),
    )
    with _without_autocast(x):
        affine = fixed_affine(norm)
        if affine is None:
            ones = unit.conv_extend.weight.new_ones(channels)
            affine = (
                ones if getattr(norm, 'weight', None) is None else norm.weight,
                ones * 0 if getattr(norm, 'bias', None) is None else norm.bias,
            )
            if type(norm) is not nn.Identity:
                settings = settings._replace(eps=norm.eps, group=shared_by(norm))
                if n * length == 1 and settings.group is None:
                    raise ValueError(
                        'a batch norm in training needs more than one position; '
                        f'the input is {tuple(x.shape)}'
                    )
        weights = Weights(
            unit.conv_proj.weight.flatten(1),
            unit.conv_proj.bias,
            unit.conv_state.weight.flatten(1),
            unit.conv_state.bias,
            unit.gcn.conv1.weight.flatten(1),
            unit.gcn.conv1.bias,
            unit.gcn.conv2.weight.flatten(1),
            unit.conv_extend.weight.flatten(1),
            *affine,
        )
        if torch.is_grad_enabled():
            out, *kept = _Reason.apply(flat, settings, *weights)
            kept = Kept(*kept)
        else:
            out, kept = _forward(flat, weights, settings)
        if settings.eps is not None:
            _track(norm, kept)
    return out.unflatten(2, x.shape[2:])


class Settings(NamedTuple):
    """What `_Reason` must know beside tensors."""

    dtype: torch.dtype  # of the products along positions
    normalize: bool
    keep_pooled: bool  # P is kept for the backward pass
    eps: float | None = None  # of a batch norm with the statistics of the batch
    group: _Group = None  # the processes that share that batch; None: this one


class Weights(NamedTuple):
    """The matrices of a unit, and what its closing norm scales and shifts by."""

    proj: Tensor  # (K, C)
    proj_bias: Tensor  # (K,)
    state: Tensor  # (S, C)
    state_bias: Tensor  # (S,)
    edges: Tensor  # A (K, K)
    edges_bias: Tensor  # (K,)
    mix: Tensor  # W (S, S)
    extend: Tensor  # (C, S)
    scale: Tensor  # γ (C,)
    shift: Tensor  # β (C,)


class Kept(NamedTuple):
    """What a forward pass leaves to the backward pass; empty where it left nothing."""

    centred: Tensor  # D (N, K, L)
    centre: Tensor  # b̄ (N, K); 0 where no statistics are taken, and D is B
    sums: Tensor  # B 1 (N, K)
    pooled: Tensor  # P (N, C, K), where it is kept
    gram: Tensor  # D Dᵀ (N, K, K), as what follows where eps is given
    mean: Tensor  # m (C,)
    var: Tensor  # (C,)
    positions: Tensor  # n (1,)


class _Graph(NamedTuple):
    """What lies between P and M."""

    nodes: Tensor  # V (N, S, K)
    hidden: Tensor  # relu(V + gcn.conv1(Vᵀ)ᵀ) (N, S, K)
    updated: Tensor  # Z (N, S, K)
    back: Tensor  # M (N, C, K)


class _Reason(Function):
    """X (N, C, L) → X + norm(Y), and what is `Kept`, which has no gradient."""

    @staticmethod
    def forward(x: Tensor, settings: Settings, *weights: Tensor) -> tuple[Tensor, ...]:
        out, kept = _forward(x, Weights(*weights), settings)
        return out, *kept

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
        x, ctx.settings, *weights = inputs
        _, *kept = output
        ctx.mark_non_differentiable(*kept)
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(x, *weights, *kept)

    @staticmethod
    def backward(ctx: Any, grad: Tensor | None, *_: None) -> tuple[Tensor | None, ...]:
        if grad is None:  # nothing came back
            return (None,) * len(ctx.needs_input_grad)
        x, *saved = ctx.saved_tensors
        split = len(Weights._fields)
        weights, kept = Weights(*saved[:split]), Kept(*saved[split:])
        needed = ctx.needs_input_grad[0], ctx.needs_input_grad[2]
        with torch.no_grad(), _without_autocast(x):
            d_x, d_weights = _backward(grad, x, weights, kept, ctx.settings, *needed)
        if torch.is_grad_enabled():
            d_x, *d_weights = _Once.apply(grad, x, *weights, d_x, *d_weights)
        return d_x, None, *d_weights


class _Once(Function):
    """Gradients that can't be differentiated again."""

    @staticmethod
    def forward(*tensors: Tensor) -> tuple[Tensor, ...]:
        return tensors[-1 - len(Weights._fields) :]

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
        pass

    @staticmethod
    def backward(ctx: Any, *_: Tensor | None) -> NoReturn:
        raise RuntimeError(
            "a GloRe unit with order='reassociated' (or 'auto') has no second "
            "derivatives: build it with order='direct', or set unit.order = 'direct'"
        )


def _forward(x: Tensor, w: Weights, s: Settings) -> tuple[Tensor, Kept]:
    length = x.shape[2]
    flat = x.to(s.dtype)
    d, pooled = project(w.proj.to(s.dtype), w.proj_bias.to(s.dtype), flat)
    sums = d.sum(2, dtype=torch.promote_types(s.dtype, torch.float32))
    centre = torch.zeros_like(sums)
    if s.eps is not None:
        centre = sums / length
        d -= centre[:, :, None]
    w = Weights(*(t.to(sums.dtype) for t in w))
    back = _graph(pooled, sums, length, w, s).back
    offset = _times(back, centre)
    scale = w.scale
    gram, mean, var, count = (centre.new_empty(0) for _ in range(4))
    if s.eps is not None:
        gram = over_positions(d, d)
        mean, var, count = _statistics(back, offset, gram, length, s.group)
        scale = scale * (var + s.eps).rsqrt()
        offset = offset - mean
    # in the type of x: where that is float32, half precision ends here
    out = per_position(
        ((scale[:, None] * back).to(x.dtype), d.to(x.dtype)),
        bias=(scale * offset + w.shift).to(x.dtype),
        add=x,
    )
    pooled = pooled if s.keep_pooled else centre.new_empty(0)
    return out, Kept(d, centre, sums, pooled, gram, mean, var, count)


def _backward(
    grad: Tensor,
    x: Tensor,
    w: Weights,
    kept: Kept,
    s: Settings,
    need_x: bool,
    need_proj: bool,
) -> tuple[Tensor | None, tuple[Tensor | None, ...]]:
    """The gradients for x and for each of the weights; the names as in the formulas."""
    d, centre, sums, pooled, *_ = kept
    length = x.shape[2]
    dtypes = [t.dtype for t in w]
    w = Weights(*(t.to(centre.dtype) for t in w))
    g, flat = grad.to(s.dtype), x.to(s.dtype)
    if not s.keep_pooled:
        pooled = over_positions(flat, d)
        if s.eps is not None:
            total = flat.sum(2, dtype=centre.dtype)
            pooled = pooled + total[:, :, None] * centre[:, None]
    graph = _graph(pooled, sums, length, w, s)
    d_back, to_b, d_centre, d_scale, d_shift = _through_norm(g, graph.back, w, kept, s)

    # through the graph, to P and B 1
    d_extend = over_positions(d_back, graph.updated, total=True)
    d_updated = per_position((w.extend.T, d_back))
    d_mix = over_positions(d_updated, graph.hidden, total=True)
    d_hidden = per_position((w.mix.T, d_updated)) * (graph.hidden > 0)
    d_edges = over_positions(
        d_hidden.transpose(1, 2), graph.nodes.transpose(1, 2), total=True
    )
    d_edges_bias = d_hidden.sum((0, 1))
    d_nodes = d_hidden + d_hidden @ w.edges
    if s.normalize:
        d_nodes = d_nodes / length
    d_state = over_positions(d_nodes, pooled, total=True)
    d_state_bias = _times(d_nodes, sums).sum(0)
    d_pooled = per_position((w.state.T, d_nodes))

    # through the projection, to X
    d_b = per_position(
        *((matrix.to(s.dtype), maps) for matrix, maps in to_b),
        (d_pooled.transpose(1, 2).to(s.dtype), flat),
        bias=(d_centre + w.state_bias @ d_nodes).to(s.dtype),
    )
    d_proj = None
    if need_proj:
        d_proj = over_positions(d_b, flat, total=True, signed=True)
    d_proj_bias = d_b.sum((0, 2), dtype=centre.dtype)
    d_x = None
    if need_x:
        # one product in place of two: X is large, what is put together is not
        matrix = torch.cat([d_pooled, w.proj.T.expand(len(x), -1, -1)], 2)
        d_x = per_position(
            (matrix.to(x.dtype), both_channels(d, d_b).to(x.dtype)),
            bias=_times(d_pooled, centre).to(x.dtype),
            add=grad,
        )
    grads = (  # in the order of Weights
        d_proj,
        d_proj_bias,
        d_state,
        d_state_bias,
        d_edges,
        d_edges_bias,
        d_mix,
        d_extend,
        d_scale,
        d_shift,
    )
    typed = zip(grads, dtypes, strict=True)
    return d_x, tuple(t if t is None else t.to(dtype) for t, dtype in typed)


def _through_norm(
    g: Tensor, back: Tensor, w: Weights, kept: Kept, s: Settings
) -> tuple[Tensor, list[tuple[Tensor, Tensor]], Tensor | int, Tensor, Tensor]:
    """From the gradient of the output to ∂M, ∂B, ∂γ and ∂β.

    ∂B comes as pairs of a matrix and the map that it is to be multiplied with, and as
    what every position gets (N, K).
    """
    d, centre = kept.centred, kept.centre
    length = g.shape[2]
    g_sum = g.sum(2, dtype=centre.dtype)  # g 1 (N, C)
    g_d = over_positions(g, d, signed=True)  # g Dᵀ (N, C, K)
    d_shift = g_sum.sum(0)
    if s.eps is None:  # b̄ is 0
        a_back = (w.scale[:, None] * back).transpose(1, 2)
        d_scale = (g_d * back).sum((0, 2))
        return w.scale[:, None] * g_d, [(a_back, g)], 0, d_scale, d_shift
    means = _times(back, centre)  # M b̄ (N, C)
    r = (kept.var + s.eps).rsqrt()
    a = w.scale * r
    d_scale = r * ((g_d * back).sum(2) + (means - kept.mean) * g_sum).sum(0)
    sums = torch.cat([d_shift, d_scale])
    if s.group is not None:
        dist.all_reduce(sums, group=s.group)
    mean_shift, mean_scale = (sums / kept.positions).chunk(2)
    c = r * mean_scale
    e = mean_shift + c * (means - kept.mean)  # (N, C)
    c_back = c[:, None] * back  # c M
    back_a = (a[:, None] * back).transpose(1, 2)  # (a M)ᵀ (N, K, C)
    y_d = g_d - c_back @ kept.gram  # ∂Y Dᵀ / a
    y_sum = g_sum - length * e  # ∂Y 1 / a
    d_back = a[:, None] * (y_d + y_sum[:, :, None] * centre[:, None])
    return (
        d_back,
        [(back_a, g), (-back_a @ c_back, d)],
        -_times(back_a, e),
        d_scale,
        d_shift,
    )


def _graph(
    pooled: Tensor, sums: Tensor, length: int, w: Weights, s: Settings
) -> _Graph:
    nodes = per_position((w.state, pooled))
    nodes = nodes + w.state_bias[:, None] * sums[:, None]
    nodes = nodes / length if s.normalize else nodes
    hidden = (nodes + nodes @ w.edges.T + w.edges_bias).relu()
    updated = per_position((w.mix, hidden))
    return _Graph(nodes, hidden, updated, per_position((w.extend, updated)))


def _statistics(
    back: Tensor, means: Tensor, gram: Tensor, length: int, group: _Group
) -> tuple[Tensor, Tensor, Tensor]:
    """Mean and variance (C,) of Y over the batch, and its positions (1,)."""
    mean = means.sum(0) / max(len(means), 1)  # a process may have no samples
    squares = ((back @ gram) * back).sum((0, 2))
    squares = squares + length * (means - mean).square().sum(0)
    count = mean.new_full((1,), len(back) * length)
    if group is not None:
        own = torch.cat([count, mean, squares])
        everyone = [torch.empty_like(own) for _ in range(dist.get_world_size(group))]
        dist.all_gather(everyone, own, group)
        sizes = [1, len(mean), len(mean)]
        counts, means, squares = torch.stack(everyone).split(sizes, dim=1)
        count = counts.sum(0)
        mean = (counts * means).sum(0) / count
        squares = (squares + counts * (means - mean).square()).sum(0)
    return mean, squares.clamp(min=0) / count, count


def _times(matrix: Tensor, vector: Tensor) -> Tensor:
    """(N, P, Q) × (N, Q) → (N, P)."""
    return (matrix @ vector[:, :, None])[:, :, 0]


def _without_autocast(x: Tensor) -> AbstractContextManager[Any]:
    device = x.device.type
    if torch.is_autocast_enabled(device):
        return torch.autocast(device, enabled=False)
    return nullcontext()  # torch.compile allows no other in a backward pass


def _product_dtype(x: Tensor) -> torch.dtype:
    device = x.device.type
    if torch.is_autocast_enabled(device) and x.dtype != torch.float64:
        return torch.get_autocast_dtype(device)
    return x.dtype


def _track(norm: Layer, kept: Kept) -> None:
    """Move running statistics as the norm itself does."""
    if not norm.training or not norm.track_running_stats:
        return
    with torch.no_grad():
        momentum = norm.momentum or 0
        if norm.num_batches_tracked is not None:
            norm.num_batches_tracked += 1
            if norm.momentum is None:
                momentum = 1 / float(norm.num_batches_tracked)
        unbiased = kept.var * (kept.positions / (kept.positions - 1))
        for running, new in (
            (norm.running_mean, kept.mean),
            (norm.running_var, unbiased),
        ):
            running += momentum * (new - running)
