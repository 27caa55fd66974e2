# The baseline of `make demo-cls`: the release's ResNet, narrow and with few blocks.
_base_ = [
    '../_base_/models/plain_r50.py',
    '../_base_/datasets/mini_imagenet.py',
    '../_base_/schedules/demo_6e.py',
    '../_base_/cls_runtime.py',
]

model = dict(
    backbone=dict(base_channels=16, stage_blocks=(1, 1, 1, 1)),
    head=dict(num_classes=10, in_channels=512, topk=(1,)),
)
default_hooks = dict(
    logger=dict(interval=20), checkpoint=dict(interval=6, save_best=None)
)
