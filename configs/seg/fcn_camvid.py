# The baseline of glore_camvid.py.
_base_ = [
    '../_base_/models/fcn_r18-d8.py',
    '../_base_/datasets/camvid.py',
    '../_base_/seg_runtime.py',
    '../_base_/schedules/sgd_80k.py',
]

model = dict(
    data_preprocessor=dict(size=(180, 240)),
    decode_head=dict(num_classes=11),
    auxiliary_head=dict(num_classes=11),
)
param_scheduler = [
    dict(type='PolyLR', eta_min=1e-4, power=0.9, begin=0, end=1500, by_epoch=False)
]
train_cfg = dict(max_iters=1500, val_interval=750)
default_hooks = dict(checkpoint=dict(interval=750, max_keep_ckpts=2))
auto_scale_lr = dict(base_batch_size=4)
