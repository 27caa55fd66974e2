# PaddleSeg's recipe for GloRe on Pascal VOC 2012 + SBD: ResNet-50-vd, output stride 8,
# 512×512, 40k iterations with 4 images per GPU. PaddleSeg's README reports 80.16 mIoU.
_base_ = [
    '../_base_/models/glore_r50-d8.py',
    '../_base_/datasets/pascal_voc12_aug.py',
    '../_base_/seg_runtime.py',
    '../_base_/schedules/sgd_80k.py',
]

model = dict(
    data_preprocessor=dict(size=(512, 512)),
    pretrained='open-mmlab://resnet50_v1d',
    backbone=dict(type='ResNetV1d'),
    decode_head=dict(num_classes=21),
    auxiliary_head=dict(num_classes=21),
)
optim_wrapper = dict(optimizer=dict(weight_decay=4e-5))
param_scheduler = [
    dict(type='PolyLR', eta_min=0, power=0.9, begin=0, end=40000, by_epoch=False)
]
train_cfg = dict(max_iters=40000, val_interval=4000)
default_hooks = dict(checkpoint=dict(interval=4000))
auto_scale_lr = None  # the recipe does not name the number of GPUs
