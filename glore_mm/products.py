"""The two matrix products of a unit along the positions of its maps.

A map is (N, C, L), contiguous or with its channels last; it is not copied, and what is
made from it has its layout, or that of what it is added to.

On some processors products in float32 are convolutions over short runs of positions.
PyTorch's convolutions (oneDNN) use the widest vectors of any processor, its matrix
products (MKL) only half of them on AMD's; a run bounds the memory that a convolution
takes to bring a contiguous map into blocks.
"""

import math
import re
from collections.abc import Iterator
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.grad import conv1d_weight


def _convolutions_are_faster() -> bool:
    """Whether oneDNN is faster than MKL here: on AMD's processors from Zen 5 on.

    Those before have vectors of 512 bits, too, but compute with 256 at a time.
    """
    cpus = Path('/proc/cpuinfo')
    about = cpus.read_text() if cpus.exists() else ''
    family = re.search(r'^cpu family\s*: (\d+)$', about, re.MULTILINE)
    return (
        torch.backends.mkldnn.is_available()
        and 'AuthenticAMD' in about
        and family is not None
        and int(family[1]) >= 26
    )


_CONVOLVE = _convolutions_are_faster()
_RUN = 2**19  # numbers in a run, for each thread: 2 MB


def over_positions(
    a: Tensor, b: Tensor, total: bool = False, signed: bool = False
) -> Tensor:
    """The product a bᵀ, a sum over positions, at least in float32.

    Args:
        a (Tensor): (N, P, L).
        b (Tensor): (N, Q, L).
        total (bool): Sum over samples, too. Default: False.
        signed (bool): One of them is a gradient, small and of either sign. Matters in
            half precision alone. Default: False.

    Returns:
        Tensor: (N, P, Q); (P, Q) if `total`.
    """
    if _convolves(a):
        return _over_runs(a, b, total)
    dtype = torch.promote_types(a.dtype, torch.float32)
    if a.dtype == dtype:
        product = a @ b.transpose(1, 2)
    else:
        # A sum over positions overflows half precision, and a mean of gradients is too
        # small for it. It is scaled after it was summed in float32, before it is
        # rounded: no float32 copies of a and b.
        scale = max(a.shape[2], 1) ** (0.5 if signed else 1)
        nothing = a.new_zeros(1, 1, 1)
        part = torch.baddbmm(nothing, a, b.transpose(1, 2), beta=0, alpha=1 / scale)
        product = part.to(dtype) * scale
    return product.sum(0) if total else product


def per_position(
    *pairs: tuple[Tensor, Tensor],
    bias: Tensor | None = None,
    add: Tensor | None = None,
) -> Tensor:
    """Σ w x + bias + add: a linear map of the channels at each position.

    Args:
        pairs (tuple[Tensor, Tensor]): Each w, (P, Q) or (N, P, Q), and x, (N, Q, L).
        bias (Tensor, optional): (P,) or (N, P).
        add (Tensor, optional): (N, P, L).

    Returns:
        Tensor: (N, P, L).
    """
    if _convolves(pairs[0][1]) and (add is None or _convolves(add)):
        return _per_run(pairs, bias, add)
    n = pairs[0][1].shape[0]
    (w, x), *others = ((w.expand(n, -1, -1), x) for w, x in pairs)
    shift = None if bias is None else bias.expand(n, -1)[:, :, None]
    if add is not None:
        out = add.clone() if shift is None else add + shift
        torch.baddbmm(out, w, x, out=out)  # baddbmm_ is not counted by torch's counter
    elif _channels_last(x):  # as made, a product is contiguous
        shift = None if shift is None else shift.transpose(1, 2)
        out = _product(x.transpose(1, 2), w.transpose(1, 2), shift).transpose(1, 2)
    else:
        out = _product(w, x, shift)
    for w, x in others:
        torch.baddbmm(out, w, x, out=out)
    return out


def project(w: Tensor, bias: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
    """B = w x + bias, and the product x Bᵀ while x is at hand.

    Args:
        w (Tensor): (K, C).
        bias (Tensor): (K,).
        x (Tensor): (N, C, L).

    Returns:
        tuple[Tensor, Tensor]: (N, K, L) and, at least in float32, (N, C, K).
    """
    if not _convolves(x):
        b = per_position((w, x), bias=bias)
        return b, over_positions(x, b)
    size = (x.shape[1], len(w), 1)
    b = x.new_empty(len(x), len(w), x.shape[2])
    pooled = x.new_zeros(len(x), *size)
    for sample, run in _runs(x, max(size), together=False):
        here = x[sample, :, run].contiguous()
        b[sample, :, run] = part = F.conv1d(here, w[:, :, None], bias)
        pooled[sample] += conv1d_weight(part, size, here)
    return b, pooled[..., 0]


def _product(a: Tensor, b: Tensor, add: Tensor | None) -> Tensor:
    return torch.bmm(a, b) if add is None else torch.baddbmm(add, a, b)


def both_channels(a: Tensor, b: Tensor) -> Tensor:
    """(N, P, L) and (N, Q, L) → (N, P + Q, L), in the layout of a."""
    if _channels_last(a):
        return torch.cat([a.transpose(1, 2), b.transpose(1, 2)], 2).transpose(1, 2)
    return torch.cat([a, b], 1)


def _channels_last(x: Tensor) -> bool:
    return x.stride(1) == 1 < x.shape[1]


def _convolves(x: Tensor) -> bool:
    if torch.compiler.is_compiling() or torch.jit.is_tracing():
        return False  # what is recorded is to fit other machines
    return (
        _CONVOLVE
        and x.device.type == 'cpu'
        and x.dtype == torch.float32
        and not _channels_last(x)  # there its convolutions are the slower ones
        and not torch.is_grad_enabled()
    )


def _over_runs(a: Tensor, b: Tensor, total: bool) -> Tensor:
    few, many = sorted((a, b), key=lambda x: x.shape[1])
    size = (many.shape[1], few.shape[1], 1)
    sums = a.new_zeros(1 if total else len(a), *size)
    for samples, run in _runs(a, max(size), together=total):
        # the gradient for the weight of a 1×1 convolution from one to the other
        sums[0 if total else samples] += conv1d_weight(
            few[samples, :, run], size, many[samples, :, run]
        )
    sums = sums[..., 0] if few is b else sums[..., 0].transpose(1, 2)
    return sums[0] if total else sums


def _per_run(
    pairs: tuple[tuple[Tensor, Tensor], ...], bias: Tensor | None, add: Tensor | None
) -> Tensor:
    w, x = pairs[0]
    n, _, length = x.shape
    shared = all(w.dim() == 2 for w, _ in pairs) and (bias is None or bias.dim() == 1)
    runs = list(_runs(x, max(w.shape[-2:]), together=shared))

    def product(samples: slice, run: slice) -> Tensor:
        shift = bias if bias is None or bias.dim() == 1 else bias[samples][0]
        (w, x), *others = (
            (w if w.dim() == 2 else w[samples][0], x[samples, :, run]) for w, x in pairs
        )
        total = F.conv1d(x, w[:, :, None], shift)
        for w, x in others:
            total.add_(F.conv1d(x, w[:, :, None]))
        return total

    if len(runs) == 1:
        here = product(*runs[0])
        return here if add is None else here.add_(add)
    out = x.new_empty(n, w.shape[-2], length)
    for samples, run in runs:
        here = product(samples, run)
        if add is None:
            out[samples, :, run] = here
        else:
            torch.add(add[samples, :, run], here, out=out[samples, :, run])
    return out


def _runs(x: Tensor, channels: int, together: bool) -> Iterator[tuple[slice, slice]]:
    """Samples, one by one or together, and runs of their positions."""
    n, _, length = x.shape
    size = max(n, 1) if together else 1
    most = _RUN * torch.get_num_threads()
    step = math.ceil(length / max(1, size * channels * length // most))
    step = 16 * max(1, math.ceil(step / 16))  # runs start where cache lines do
    for first in range(0, n, size):
        for start in range(0, length, step):
            yield slice(first, first + size), slice(start, start + step)
