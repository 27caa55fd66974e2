# The baseline of `make demo-video`: the released network, narrow and with few blocks.
_base_ = [
    '../_base_/models/plain_r50_3d.py',
    '../_base_/datasets/mini_kinetics.py',
    '../_base_/schedules/demo_6e.py',
    '../_base_/video_runtime.py',
]

model = dict(
    backbone=dict(base_channels=16, stage_blocks=(1, 1, 1, 1)),
    cls_head=dict(num_classes=4, in_channels=512, dropout_ratio=0.0, topk=(1,)),
)
optim_wrapper = dict(clip_grad=dict(max_norm=40, norm_type=2))
param_scheduler = _base_.param_scheduler
param_scheduler[1].update(T_max=9)
train_cfg = dict(max_epochs=9, val_interval=9)
default_hooks = dict(
    logger=dict(interval=20), checkpoint=dict(interval=9, save_best=None)
)
