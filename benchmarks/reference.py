"""The unit as the release computes it: the baseline of the benchmarks.

It does the same operations, in the same order and with the same modules, as
network/global_reasoning_unit.py of https://github.com/facebookresearch/GloRe, and takes
the state dict of a `glore_mm` unit. It does not change.
"""

import torch
from torch import Tensor, nn

_CONV = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}
_NORM = {1: nn.BatchNorm1d, 2: nn.BatchNorm2d, 3: nn.BatchNorm3d}


class ReferenceGCN(nn.Module):
    """Two 1×1 convolutions, over nodes and over states."""

    def __init__(self, num_state: int, num_node: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv1d(num_node, num_node, 1)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv1d(num_state, num_state, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """(N, S, K) → (N, S, K)."""
        h = self.conv1(x.permute(0, 2, 1)).permute(0, 2, 1)
        h = h + x
        return self.conv2(self.relu(h))


class ReferenceGloRe(nn.Module):
    """The unit of the release over `dim` dimensions."""

    def __init__(
        self, dim: int, num_in: int, num_state: int, num_node: int, normalize: bool
    ) -> None:
        super().__init__()
        self.num_state, self.num_node = num_state, num_node
        self.normalize = normalize
        self.conv_state = _CONV[dim](num_in, num_state, 1)
        self.conv_proj = _CONV[dim](num_in, num_node, 1)
        self.gcn = ReferenceGCN(num_state, num_node)
        self.conv_extend = _CONV[dim](num_state, num_in, 1, bias=False)
        self.blocker = _NORM[dim](num_in, eps=1e-4)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, *spatial) → (N, C, *spatial)."""
        n = x.size(0)
        state = self.conv_state(x).view(n, self.num_state, -1)
        proj = self.conv_proj(x).view(n, self.num_node, -1)
        node_state = torch.matmul(state, proj.permute(0, 2, 1))
        if self.normalize:
            node_state = node_state * (1.0 / state.size(2))
        node_rel = self.gcn(node_state)
        state = torch.matmul(node_rel, proj)
        state = state.view(n, self.num_state, *x.size()[2:])
        return x + self.blocker(self.conv_extend(state))
