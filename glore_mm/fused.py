"""The unit with reassociated products: it forms no intermediate map of S×L or C×L.

The projections are linear. So for an input X (C, L) and its projection B (K, L), nodes
and output are also (1 is a vector of ones)::

    P = X Bᵀ                        (C, K)
    V = W_s P + b_s (B 1)ᵀ          (S, K)
    M = W_e Z                       (C, K)
    Y = M B                         (C, L)

Batch norm of Y does not need Y either. B is kept as D = B − b̄ 1ᵀ, where b̄ is the mean
of B over the positions of a sample. Then M b̄ is the mean of Y over the sample, and the
diagonal of M D Dᵀ Mᵀ is the sum of squared deviations from it. The backward pass needs
only X, D and the gradient g of the output; all else is small and is recomputed. Let m
be the mean and r = 1/√(var + ε) for each channel of Y, a = γ r, n the number of
positions in the batch, and Σ the sum over its samples::

    ∂β = Σ g 1       ∂γ = r Σ (g Dᵀ ∘ M) 1 + r Σ (M b̄ − m) ∘ g 1
    ∂Y = a (g − e 1ᵀ − c M D),     c = r ∂γ / n,     e = ∂β / n + c (M b̄ − m)
    ∂M = ∂Y Bᵀ = a (g Dᵀ − c M D Dᵀ) + a (g 1 − L e) b̄ᵀ
    ∂B = Mᵀ ∂Y

In half precision only the products along positions run in half precision. The small
matrices are computed in float32.
"""

from typing import Any, NamedTuple, NoReturn, TypeAlias

import torch
import torch.distributed as dist
from torch import Tensor
from torch.autograd import Function

from glore_mm.matmul import (
    cat_channels,
    is_autocast,
    linear_1x1,
    matmul_nt,
    matvec,
    without_autocast,
)

Group: TypeAlias = 'dist.ProcessGroup | None'


class BatchNorm(NamedTuple):
    """The closing norm, with the arguments of `torch.nn.functional.batch_norm`."""

    weight: Tensor | None  # γ (C,)
    bias: Tensor | None  # β (C,)
    running_mean: Tensor | None  # (C,), updated in place if `training`
    running_var: Tensor | None  # (C,), likewise
    training: bool  # use the statistics of the batch
    momentum: float
    eps: float
    group: Group = None  # the processes that share the batch; None: this one only


def glore(
    x: Tensor,
    proj: Tensor,
    proj_bias: Tensor,
    state: Tensor,
    state_bias: Tensor,
    edges: Tensor,
    edges_bias: Tensor,
    mix: Tensor,
    extend: Tensor,
    norm: BatchNorm | None = None,
    normalize: bool = False,
) -> Tensor:
    """Compute X + norm(Y) for a map X.

    The weights may keep the spatial dimensions of the kernels of 1×1 convolutions.

    Args:
        x (Tensor): X, (N, C, *spatial).
        proj (Tensor): W of the projection B, (K, C).
        proj_bias (Tensor): (K,).
        state (Tensor): W_s, (S, C).
        state_bias (Tensor): b_s, (S,).
        edges (Tensor): −A, which mixes the nodes, (K, K).
        edges_bias (Tensor): (K,).
        mix (Tensor): W, which mixes the states, (S, S).
        extend (Tensor): W_e, (C, S).
        norm (BatchNorm, optional): The closing norm. None: Y is added unchanged.
        normalize (bool): Divide V by the number of positions. Default: False.

    Returns:
        Tensor: (N, C, *spatial), in the memory format of `x`.

    Raises:
        ValueError: The norm would take its statistics from a single position.
        RuntimeError: The gradient is differentiated again.
    """
    flat = x.flatten(2)
    n, _, length = flat.shape
    keep_pooled = 16 * len(proj) <= length  # P is small compared with X
    settings = Settings(product_dtype(x), normalize, keep_pooled)
    if norm is not None and norm.training:
        settings = settings._replace(eps=norm.eps, group=norm.group)
        if n * length == 1 and norm.group is None:
            raise ValueError(
                'a batch norm in training needs more than one position; '
                f'the input is {tuple(x.shape)}'
            )
    with without_autocast(x):
        weights = Weights(
            proj,
            proj_bias,
            state,
            state_bias,
            edges,
            edges_bias,
            mix,
            extend,
            *_batch_norm_affine(norm, extend),
        )
        # torch.export differentiates the operators that it records, not a Function
        if torch.is_grad_enabled() and not _is_exporting():
            out, *saved = _GloRe.apply(flat, settings, *weights)
            saved = SavedTensors(*saved)
        else:
            out, saved = _forward(flat, weights, settings)
        if norm is not None and norm.training:
            _update_running_stats(norm, saved)
    return out.reshape(x.shape)


def is_supported() -> bool:
    """Whether `glore` works in the current context of PyTorch.

    It does not in torch.jit.trace, whose trace must be the same with and without
    gradients, nor in transforms of torch.func and forward-mode derivatives, which need
    plain operators.
    """
    if torch.jit.is_tracing():
        return False
    if torch.compiler.is_compiling():  # before 2.5 it cannot compile the checks below
        return True
    level = torch.autograd.forward_ad._current_level
    return level < 0 and not torch._C._are_functorch_transforms_active()


def product_dtype(x: Tensor) -> torch.dtype:
    """The dtype of the products along the positions of x."""
    if is_autocast(x) and x.dtype != torch.float64:
        return torch.get_autocast_dtype(x.device.type)
    return x.dtype


class Settings(NamedTuple):
    """The arguments of `_GloRe` that are not tensors."""

    dtype: torch.dtype  # of the products along positions
    normalize: bool
    keep_pooled: bool  # save P for the backward pass
    eps: float | None = None  # of batch norm, if it uses the statistics of the batch
    group: Group = None


class Weights(NamedTuple):
    """The weights given to `glore`, and the scale and shift of the closing norm."""

    proj: Tensor
    proj_bias: Tensor
    state: Tensor
    state_bias: Tensor
    edges: Tensor
    edges_bias: Tensor
    mix: Tensor
    extend: Tensor
    scale: Tensor  # (C,): γ, or γ / √(running_var + ε) with running statistics
    shift: Tensor  # (C,): β, or β − scale · running_mean with running statistics

    def matrices(self, dtype: torch.dtype) -> 'Weights':
        """Remove the spatial dimensions of kernels; convert to a dtype."""
        return Weights(
            *(t.to(dtype).flatten(1) if t.dim() > 1 else t.to(dtype) for t in self)
        )


class SavedTensors(NamedTuple):
    """What the forward pass saves for the backward pass; unused tensors are empty."""

    centred: Tensor  # D (N, K, L)
    centre: Tensor  # b̄ (N, K); 0 without statistics of the batch, so that D is B
    sums: Tensor  # B 1 (N, K)
    pooled: Tensor  # P (N, C, K), if `keep_pooled`
    gram: Tensor  # D Dᵀ (N, K, K); this and the next three only if eps is given
    mean: Tensor  # m (C,)
    var: Tensor  # (C,)
    positions: Tensor  # n (1,)


class _Graph(NamedTuple):
    """The steps from P to M."""

    nodes: Tensor  # V (N, S, K)
    hidden: Tensor  # relu(V + gcn.conv1(Vᵀ)ᵀ) (N, S, K)
    updated: Tensor  # Z (N, S, K)
    back: Tensor  # M (N, C, K)


class _GloRe(Function):
    """X (N, C, L) → X + norm(Y), and `SavedTensors`, which have no gradient."""

    @staticmethod
    def forward(x: Tensor, settings: Settings, *weights: Tensor) -> tuple[Tensor, ...]:
        out, saved = _forward(x, Weights(*weights), settings)
        return out, *saved

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
        x, ctx.settings, *weights = inputs
        _, *saved = output
        ctx.mark_non_differentiable(*saved)
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(x, *weights, *saved)

    @staticmethod
    def backward(ctx: Any, grad: Tensor | None, *_: None) -> tuple[Tensor | None, ...]:
        if grad is None:  # the output was not used
            return (None,) * len(ctx.needs_input_grad)
        x, *saved = ctx.saved_tensors
        split = len(Weights._fields)
        weights, saved = Weights(*saved[:split]), SavedTensors(*saved[split:])
        needed = ctx.needs_input_grad[0], ctx.needs_input_grad[2]
        with torch.no_grad(), without_autocast(x):
            d_x, d_weights = _backward(grad, x, weights, saved, ctx.settings, *needed)
        if torch.is_grad_enabled():
            d_x, *d_weights = _OnceDifferentiable.apply(
                grad, x, *weights, d_x, *d_weights
            )
        return d_x, None, *d_weights


class _OnceDifferentiable(Function):
    """Returns its last arguments, the gradients; differentiating them is an error."""

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


def _batch_norm_affine(norm: BatchNorm | None, like: Tensor) -> tuple[Tensor, Tensor]:
    """Return scale and shift of batch norm, (C,) each, with running statistics."""
    scale = None if norm is None else norm.weight
    shift = None if norm is None else norm.bias
    scale = like.new_ones(len(like)) if scale is None else scale
    shift = like.new_zeros(len(like)) if shift is None else shift
    if norm is None or norm.training:
        return scale, shift
    assert norm.running_mean is not None and norm.running_var is not None
    dtype = torch.promote_types(norm.running_var.dtype, torch.float32)
    scale = scale * (norm.running_var.to(dtype) + norm.eps).rsqrt()
    return scale, shift - norm.running_mean * scale


def _forward(x: Tensor, w: Weights, s: Settings) -> tuple[Tensor, SavedTensors]:
    length = x.shape[2]
    flat = x.to(s.dtype)
    proj, proj_bias = w.proj.flatten(1).to(s.dtype), w.proj_bias.to(s.dtype)
    d = linear_1x1((proj, flat), bias=proj_bias)  # B
    pooled = matmul_nt(flat, d)
    sums = d.sum(2, dtype=pooled.dtype)
    centre = torch.zeros_like(sums)
    if s.eps is not None:
        centre = sums / length
        # in place, in the dtype of B; autograd of torch.export may have saved B itself
        d = d.clone() if torch.is_grad_enabled() else d
        d -= centre[:, :, None]
    w = w.matrices(sums.dtype)
    back = _graph(pooled, sums, length, w, s).back
    offset = matvec(back, centre)
    scale = w.scale
    gram, mean, var, count = (centre.new_empty(0) for _ in range(4))
    if s.eps is not None:
        gram = matmul_nt(d, d)
        mean, var, count = _statistics(back, offset, gram, length, s.group)
        scale = scale * (var + s.eps).rsqrt()
        offset = offset - mean
    # in the dtype of x: autocast of a float32 input ends here
    out = linear_1x1(
        ((scale[:, None] * back).to(x.dtype), d.to(x.dtype)),
        bias=(scale * offset + w.shift).to(x.dtype),
        add=x,
    )
    pooled = pooled if s.keep_pooled else centre.new_empty(0)
    return out, SavedTensors(d, centre, sums, pooled, gram, mean, var, count)


def _backward(
    grad: Tensor,
    x: Tensor,
    w: Weights,
    saved: SavedTensors,
    s: Settings,
    need_x: bool,
    need_proj: bool,
) -> tuple[Tensor | None, tuple[Tensor | None, ...]]:
    """Return the gradients of x and of each weight; names as in the module docstring.

    `d_name` is the gradient of `name`.
    """
    d, centre, sums, pooled, *_ = saved
    length = x.shape[2]
    parameters, w = w, w.matrices(centre.dtype)
    g, flat = grad.to(s.dtype), x.to(s.dtype)
    if not s.keep_pooled:
        pooled = matmul_nt(flat, d)
        if s.eps is not None:
            total = flat.sum(2, dtype=centre.dtype)
            pooled = pooled + total[:, :, None] * centre[:, None]
    graph = _graph(pooled, sums, length, w, s)
    d_back, to_b, d_centre, d_scale, d_shift = _through_norm(g, graph.back, w, saved, s)

    # through the graph, to P and B 1
    d_extend = matmul_nt(d_back, graph.updated, sum_samples=True)
    d_updated = linear_1x1((w.extend.T, d_back))
    d_mix = matmul_nt(d_updated, graph.hidden, sum_samples=True)
    d_hidden = linear_1x1((w.mix.T, d_updated)) * (graph.hidden > 0)
    d_edges = matmul_nt(
        d_hidden.transpose(1, 2), graph.nodes.transpose(1, 2), sum_samples=True
    )
    d_edges_bias = d_hidden.sum((0, 1))
    d_nodes = d_hidden + d_hidden @ w.edges
    if s.normalize:
        d_nodes = d_nodes / length
    d_state = matmul_nt(d_nodes, pooled, sum_samples=True)
    d_state_bias = matvec(d_nodes, sums).sum(0)
    d_pooled = linear_1x1((w.state.T, d_nodes))

    # through the projection, to X
    d_b = linear_1x1(
        *((matrix.to(s.dtype), maps) for matrix, maps in to_b),
        (d_pooled.transpose(1, 2).to(s.dtype), flat),
        bias=(d_centre + w.state_bias @ d_nodes).to(s.dtype),
    )
    d_proj = None
    if need_proj:
        d_proj = matmul_nt(d_b, flat, sum_samples=True, signed=True)
    d_proj_bias = d_b.sum((0, 2), dtype=centre.dtype)
    d_x = None
    if need_x:
        # one product instead of two: X is large, the concatenated tensors are not
        matrix = torch.cat([d_pooled, w.proj.T.expand(len(x), -1, -1)], 2)
        d_x = linear_1x1(
            (matrix.to(x.dtype), cat_channels(d, d_b).to(x.dtype)),
            bias=matvec(d_pooled, centre).to(x.dtype),
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
    # with the shapes, dtypes and strides of the parameters, as DDP expects
    return d_x, tuple(
        grad
        if grad is None
        else torch.empty_like(weight).copy_(grad.view(weight.shape))
        for grad, weight in zip(grads, parameters, strict=True)
    )


def _through_norm(
    g: Tensor, back: Tensor, w: Weights, saved: SavedTensors, s: Settings
) -> tuple[Tensor, list[tuple[Tensor, Tensor]], Tensor | int, Tensor, Tensor]:
    """Return ∂M, ∂B (two values), ∂γ and ∂β for the gradient g of the output.

    ∂B is the sum of products of a matrix and a map, returned as pairs, plus a term
    (N, K) that is the same at every position.
    """
    d, centre = saved.centred, saved.centre
    length = g.shape[2]
    g_sum = g.sum(2, dtype=centre.dtype)  # g 1 (N, C)
    g_d = matmul_nt(g, d, signed=True)  # g Dᵀ (N, C, K)
    d_shift = g_sum.sum(0)
    if s.eps is None:  # b̄ is 0
        a_back = (w.scale[:, None] * back).transpose(1, 2)
        d_scale = (g_d * back).sum((0, 2))
        return w.scale[:, None] * g_d, [(a_back, g)], 0, d_scale, d_shift
    means = matvec(back, centre)  # M b̄ (N, C)
    r = (saved.var + s.eps).rsqrt()
    a = w.scale * r
    d_scale = r * ((g_d * back).sum(2) + (means - saved.mean) * g_sum).sum(0)
    sums = torch.cat([d_shift, d_scale])
    if s.group is not None:
        dist.all_reduce(sums, group=s.group)
    mean_shift, mean_scale = (sums / saved.positions).chunk(2)
    c = r * mean_scale
    e = mean_shift + c * (means - saved.mean)  # (N, C)
    c_back = c[:, None] * back  # c M
    back_a = (a[:, None] * back).transpose(1, 2)  # (a M)ᵀ (N, K, C)
    y_d = g_d - c_back @ saved.gram  # ∂Y Dᵀ / a
    y_sum = g_sum - length * e  # ∂Y 1 / a
    d_back = a[:, None] * (y_d + y_sum[:, :, None] * centre[:, None])
    return (
        d_back,
        [(back_a, g), (-back_a @ c_back, d)],
        -matvec(back_a, e),
        d_scale,
        d_shift,
    )


def _graph(
    pooled: Tensor, sums: Tensor, length: int, w: Weights, s: Settings
) -> _Graph:
    nodes = linear_1x1((w.state, pooled))
    nodes = nodes + w.state_bias[:, None] * sums[:, None]
    nodes = nodes / length if s.normalize else nodes
    hidden = (nodes + nodes @ w.edges.T + w.edges_bias).relu()
    updated = linear_1x1((w.mix, hidden))
    return _Graph(nodes, hidden, updated, linear_1x1((w.extend, updated)))


def _statistics(
    back: Tensor, means: Tensor, gram: Tensor, length: int, group: Group
) -> tuple[Tensor, Tensor, Tensor]:
    """Return mean and variance (C,) of Y over the batch, and its positions n (1,)."""
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


def _update_running_stats(norm: BatchNorm, saved: SavedTensors) -> None:
    """Update running statistics as `torch.nn.functional.batch_norm` does."""
    with torch.no_grad():
        unbiased = saved.var * (saved.positions / (saved.positions - 1))
        for running, new in (
            (norm.running_mean, saved.mean),
            (norm.running_var, unbiased),
        ):
            if running is not None:
                running += norm.momentum * (new - running)


def _is_exporting() -> bool:
    found = getattr(torch.compiler, 'is_exporting', None)  # torch 2.7 and later
    return found is not None and found()
