# The baseline of `make demo`, where the class of a region depends on a distant cue.
_base_ = [
    '../_base_/models/fcn_narrow_r18.py',
    '../_base_/datasets/long_range_strips.py',
    '../_base_/seg_runtime.py',
    '../_base_/schedules/sgd_80k.py',
]

optim_wrapper = dict(
    optimizer=dict(_delete_=True, type='AdamW', lr=0.003, weight_decay=0.05)
)
param_scheduler = [
    dict(type='PolyLR', eta_min=1e-5, power=0.9, begin=0, end=450, by_epoch=False)
]
train_cfg = dict(max_iters=450, val_interval=450)
val_cfg = None  # tested once, after training
default_hooks = dict(
    checkpoint=dict(interval=450, save_best=None, save_optimizer=False)
)
