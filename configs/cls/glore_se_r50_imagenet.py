# SE-ResNet-50 (0, 3): 78.7 top-1 in the release.
_base_ = './glore_r50_imagenet.py'

model = dict(backbone=dict(backbone=dict(se_ratio=16)))
