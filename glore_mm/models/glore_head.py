"""The decode head of the Cityscapes networks.

Chen et al.: Graph-Based Global Reasoning Networks. CVPR 2019,
https://arxiv.org/abs/1811.12814
"""

from typing import Any

import torch
from mmengine.model import ModuleList
from mmseg.models.decode_heads import FCNHead
from mmseg.registry import MODELS
from torch import Tensor

from glore_mm.registry import GloRe2d


@MODELS.register_module()
class GloReHead(FCNHead):
    """FCN head with GloRe units between its two convolutions.

    Its layers are: 3×3 convolution, units, 3×3 convolution, dropout, classifier. The
    defaults are those of the released networks.

    Args:
        num_units (int): Number of units, one after the other. Default: 1.
        num_states (int): Length of a node's state. Default: 128.
        num_nodes (int): Number of nodes of a unit. Default: 64.
        normalize (bool): Divide the states of the nodes by the number of positions,
            because test images are larger than training crops. Default: True.
        concat_input (bool): Also pass the input of the head to the classifier, as
            FCNHead does by default. Default: False.
        num_convs (int): Must be 2; accepted because configs of FCNHead set it.
            Default: 2.
        kwargs: Other arguments of FCNHead.
    """

    def __init__(
        self,
        num_units: int = 1,
        num_states: int = 128,
        num_nodes: int = 64,
        normalize: bool = True,
        concat_input: bool = False,
        num_convs: int = 2,
        **kwargs: Any,
    ) -> None:
        if num_convs != 2:
            raise ValueError(
                f'GloReHead has its units between 2 convolutions, got {num_convs=}'
            )
        super().__init__(num_convs=num_convs, concat_input=concat_input, **kwargs)
        # mmengine's ModuleList: with torch's, init_weights would not reach the units
        self.units = ModuleList(
            GloRe2d(
                self.channels,
                num_states,
                num_nodes,
                normalize,
                conv_cfg=self.conv_cfg,
                norm_cfg=self.norm_cfg,
            )
            for _ in range(num_units)
        )

    def _forward_feature(self, inputs: list[Tensor]) -> Tensor:
        """Return the input of the classifier, (N, channels, H, W)."""
        x = self._transform_inputs(inputs)
        feats = self.convs[0](x)
        for unit in self.units:
            feats = unit(feats)
        feats = self.convs[1](feats)
        if self.concat_input:
            feats = self.conv_cat(torch.cat([x, feats], dim=1))
        return feats
