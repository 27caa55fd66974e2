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
    """FCN head with global reasoning between its two convolutions.

    Conv 3×3, unit, conv 3×3, dropout, classifier. The defaults are those of the
    released networks.

    Args:
        num_units (int): Units, one after the other. Default: 1.
        num_states (int): Length of a node's state. Default: 128.
        num_nodes (int): Nodes of a unit. Default: 64.
        normalize (bool): Divide what a node gathers by the number of positions, as test
            images are larger than training crops. Default: True.
        concat_input (bool): Also give the head's input to the classifier, as FCNHead
            does by default. Default: False.
        num_convs (int): 2; taken so that a config of FCNHead fits. Default: 2.
        kwargs: As for FCNHead.
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
        # mmengine's list: torch's own would hide the units from init_weights
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
        """The map (N, channels, H, W) that the classifier sees."""
        x = self._transform_inputs(inputs)
        feats = self.convs[0](x)
        for unit in self.units:
            feats = unit(feats)
        feats = self.convs[1](feats)
        if self.concat_input:
            feats = self.conv_cat(torch.cat([x, feats], dim=1))
        return feats
