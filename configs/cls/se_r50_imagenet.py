# SE-ResNet-50: 77.2 top-1 in the release.
_base_ = './plain_r50_imagenet.py'

model = dict(backbone=dict(se_ratio=16))
