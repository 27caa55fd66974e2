# ResNeXt-101 32×4d (2, 3): 79.8 top-1 in the release.
_base_ = './glore_r101_2-3_imagenet.py'

model = dict(backbone=dict(backbone=dict(groups=32, width_per_group=4)))
