# FCN on ResNet-18 (output stride 16) on images and masks of your own, trained from
# scratch, or from a checkpoint with load_from=…. docs/own_data.md has all options.
#
#   python tools/train.py configs/seg/fcn_r18_custom.py \
#       --cfg-options data_root=/data/fields classes=soil,crop,weed
_base_ = [
    '../_base_/models/fcn_r18-d8.py',
    '../_base_/datasets/image_masks.py',
    '../_base_/seg_runtime.py',
    '../_base_/schedules/sgd_80k.py',
]

# num_classes=None: the number of classes of the data set
model = dict(
    data_preprocessor=dict(size=(256, 256)),
    backbone=dict(strides=(1, 2, 2, 1), dilations=(1, 1, 1, 2)),
    decode_head=dict(num_classes=None),
    auxiliary_head=dict(num_classes=None),
)
param_scheduler = [
    dict(type='PolyLR', eta_min=1e-4, power=0.9, begin=0, end=1500, by_epoch=False)
]
train_cfg = dict(max_iters=1500, val_interval=750)
default_hooks = dict(checkpoint=dict(interval=750, max_keep_ckpts=2))
auto_scale_lr = dict(base_batch_size=4)
