# ResNet-50, pre-activation: 76.2 top-1 in the release.
_base_ = [
    '../_base_/models/plain_r50.py',
    '../_base_/datasets/imagenet.py',
    '../_base_/schedules/imagenet_95e.py',
    '../_base_/cls_runtime.py',
]
