"""Matrix products along the positions of a map, without copies of the map.

A map is (N, C, L), contiguous or channels-last. A result has the layout of its input,
or of the map that it is added to.
"""

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor


def matmul_nt(
    a: Tensor, b: Tensor, *, sum_samples: bool = False, signed: bool = False
) -> Tensor:
    """Return a bᵀ, a sum over positions, in float32 or a wider dtype.

    Args:
        a (Tensor): (N, P, L).
        b (Tensor): (N, Q, L).
        sum_samples (bool): Also sum over samples. Default: False.
        signed (bool): a or b is a gradient: small, and of either sign. Only used in
            half precision. Default: False.

    Returns:
        Tensor: (N, P, Q); (P, Q) if `sum_samples`.
    """
    dtype = torch.promote_types(a.dtype, torch.float32)
    with without_autocast(a):
        if a.dtype == dtype:
            product = a @ b.transpose(1, 2)
        else:
            # A sum can overflow half precision, a mean of gradients can underflow. The
            # kernel sums in float32 and scales before it rounds. So the result fits,
            # and a and b need no float32 copies.
            scale = max(a.shape[2], 1) ** (0.5 if signed else 1)
            zero = a.new_zeros(1, 1, 1)
            scaled = torch.baddbmm(zero, a, b.transpose(1, 2), beta=0, alpha=1 / scale)
            product = scaled.to(dtype) * scale
        return product.sum(0) if sum_samples else product


def linear_1x1(
    *pairs: tuple[Tensor, Tensor],
    bias: Tensor | None = None,
    add: Tensor | None = None,
) -> Tensor:
    """Return Σ w x + bias + add, a linear map of the channels at each position.

    Args:
        pairs (tuple[Tensor, Tensor]): Each w, (P, Q) or (N, P, Q), and x, (N, Q, L).
        bias (Tensor, optional): (P,) or (N, P).
        add (Tensor, optional): (N, P, L).

    Returns:
        Tensor: (N, P, L).
    """
    n = pairs[0][1].shape[0]
    (w, x), *others = ((w.expand(n, -1, -1), x) for w, x in pairs)
    shift = None if bias is None else bias.expand(n, -1)[:, :, None]
    if add is not None:
        # in place: the result is the only map that is allocated
        out = add.clone() if shift is None else add + shift
        _add_product(out, w, x)
    elif is_channels_last(x):  # the product of transposed maps is channels-last
        shift = None if shift is None else shift.transpose(1, 2)
        out = _product(x.transpose(1, 2), w.transpose(1, 2), shift).transpose(1, 2)
    else:
        out = _product(w, x, shift)
    for w, x in others:
        _add_product(out, w, x)
    return out


def matvec(matrix: Tensor, vector: Tensor) -> Tensor:
    """(N, P, Q) × (N, Q) → (N, P)."""
    return (matrix @ vector[:, :, None])[:, :, 0]


def cat_channels(a: Tensor, b: Tensor) -> Tensor:
    """Concatenate maps (N, P, L) and (N, Q, L) to (N, P + Q, L), in the layout of a."""
    if is_channels_last(a):
        return torch.cat([a.transpose(1, 2), b.transpose(1, 2)], 2).transpose(1, 2)
    return torch.cat([a, b], 1)


def is_channels_last(x: Tensor) -> bool:
    """Whether the channels of a map (N, C, L) are adjacent in memory."""
    return x.stride(1) == 1 < x.shape[1]


def is_autocast(x: Tensor) -> bool:
    """Whether autocast is enabled for the device of a tensor."""
    return x.device.type != 'meta' and torch.is_autocast_enabled(x.device.type)


def without_autocast(x: Tensor) -> AbstractContextManager[Any]:
    """Return a context in which autocast is disabled for the device of a tensor."""
    if is_autocast(x):
        return torch.autocast(x.device.type, enabled=False)
    return nullcontext()  # all that torch.compile allows in a backward pass


def _product(a: Tensor, b: Tensor, add: Tensor | None) -> Tensor:
    return torch.bmm(a, b) if add is None else torch.baddbmm(add, a, b)


def _add_product(out: Tensor, a: Tensor, b: Tensor) -> None:
    if is_channels_last(out):  # else the CPU kernel of bfloat16 is 200 × slower
        out, a, b = (t.transpose(1, 2) for t in (out, b, a))
    out.baddbmm_(a, b)
