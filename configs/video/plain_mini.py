# The baseline of `make demo-video`: the released network, narrow and with few blocks.
_base_ = [
    '../_base_/models/plain_r50_3d.py',
    '../_base_/datasets/mini_kinetics.py',
    '../_base_/schedules/kinetics400_cosine.py',
    '../_base_/video_runtime.py',
]

model = dict(
    backbone=dict(base_channels=16, stage_blocks=(1, 1, 1, 1)),
    cls_head=dict(num_classes=4, in_channels=512, dropout_ratio=0.0, topk=(1,)),
)
# AdamW: SGD needs longer from scratch than a demo has
optim_wrapper = dict(
    optimizer=dict(_delete_=True, type='AdamW', lr=0.002, weight_decay=0.05)
)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, by_epoch=False, begin=0, end=40),
    dict(type='CosineAnnealingLR', by_epoch=True, T_max=9, convert_to_iter_based=True),
]
train_cfg = dict(max_epochs=9, val_interval=9)
default_hooks = dict(
    logger=dict(interval=20), checkpoint=dict(interval=9, save_best=None)
)
