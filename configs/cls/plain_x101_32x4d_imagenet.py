# ResNeXt-101 32×4d, pre-activation.
_base_ = './plain_r101_imagenet.py'

model = dict(backbone=dict(groups=32, width_per_group=4))
