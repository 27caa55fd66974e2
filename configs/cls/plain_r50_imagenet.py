# ResNet-50, pre-activation: 76.2 top-1 in the release.
_base_ = [
    '../_base_/models/plain_r50.py',
    '../_base_/datasets/imagenet.py',
    '../_base_/schedules/imagenet_95e.py',
    '../_base_/cls_runtime.py',
]

# eps and normalisation as in the release, for its checkpoints
model = dict(
    backbone=dict(norm_cfg=dict(type='BN', eps=1e-3)),
    data_preprocessor=dict(mean=[124, 117, 104], std=[59.88, 59.88, 59.88]),
)
