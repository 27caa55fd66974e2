# FCN on EfficientNet-Lite0, pretrained on ImageNet, on CamVid.
_base_ = [
    '../_base_/models/fcn_lite0.py',
    '../_base_/datasets/camvid.py',
    '../_base_/seg_runtime.py',
    '../_base_/schedules/sgd_80k.py',
]

model = dict(data_preprocessor=dict(size=(180, 240)), decode_head=dict(num_classes=11))
param_scheduler = [
    dict(type='PolyLR', eta_min=1e-4, power=0.9, begin=0, end=1000, by_epoch=False)
]
train_cfg = dict(max_iters=1000, val_interval=1000)
default_hooks = dict(checkpoint=dict(interval=1000, max_keep_ckpts=2))
auto_scale_lr = dict(base_batch_size=4)
