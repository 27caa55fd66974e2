"""mmcv's non-local block for video, registered for configs.

Wang, Girshick, Gupta, He: Non-local Neural Networks. CVPR 2018,
https://arxiv.org/abs/1711.07971.
"""

from mmcv.cnn.bricks import non_local
from mmengine.model import constant_init, normal_init
from mmengine.registry import MODELS
from torch import nn


@MODELS.register_module()
class NonLocal3d(non_local.NonLocal3d):
    """mmcv's NonLocal3d with an `init_weights` that a Runner can call.

    `init_weights` of mmcv fails after `sub_sample` has added pooling to the
    convolutions, and mmcv does not register the class. The arguments are those of mmcv.
    """

    def init_weights(self, std: float = 0.01, zeros_init: bool = True) -> None:
        """Initialise as mmcv does; with `zeros_init` the block is the identity."""
        for layer in self.modules():
            if isinstance(layer, nn.Conv3d):
                normal_init(layer, std=std)
        if zeros_init:
            closing = self.conv_out
            constant_init(closing.norm if closing.with_norm else closing.conv, 0)
