# The baseline of `make demo-cls`: the release's ResNet, narrow and with few blocks.
_base_ = [
    '../_base_/models/plain_r50.py',
    '../_base_/datasets/mini_imagenet.py',
    '../_base_/schedules/imagenet_95e.py',
    '../_base_/cls_runtime.py',
]

model = dict(
    backbone=dict(base_channels=16, stage_blocks=(1, 1, 1, 1)),
    head=dict(num_classes=10, in_channels=512, topk=(1,)),
)
# AdamW: SGD needs longer from scratch than a demo has
optim_wrapper = dict(
    optimizer=dict(_delete_=True, type='AdamW', lr=0.002, weight_decay=0.05)
)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, by_epoch=False, begin=0, end=40),
    dict(type='CosineAnnealingLR', by_epoch=True, T_max=6, convert_to_iter_based=True),
]
train_cfg = dict(max_epochs=6, val_interval=6)
default_hooks = dict(
    logger=dict(interval=20), checkpoint=dict(interval=6, save_best=None)
)
