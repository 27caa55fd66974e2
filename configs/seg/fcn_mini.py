# The baseline of `make demo-seg`.
_base_ = [
    '../_base_/models/fcn_r18-d8.py',
    '../_base_/datasets/mini_cityscapes.py',
    '../_base_/seg_runtime.py',
    '../_base_/schedules/sgd_80k.py',
]

model = dict(data_preprocessor=dict(size=(96, 192)))
# AdamW, as SGD needs more time to train from scratch
optim_wrapper = dict(
    optimizer=dict(_delete_=True, type='AdamW', lr=0.003, weight_decay=0.05)
)
param_scheduler = [
    dict(type='PolyLR', eta_min=1e-5, power=0.9, begin=0, end=200, by_epoch=False)
]
train_cfg = dict(max_iters=200, val_interval=200)
default_hooks = dict(
    logger=dict(interval=20), checkpoint=dict(interval=200, save_best=None)
)
auto_scale_lr = dict(base_batch_size=4)
