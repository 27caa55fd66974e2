# FCN + 1 GloRe unit, ResNet-101. The release reports 80.9 class IoU on Cityscapes test.
_base_ = './glore_cityscapes.py'

model = dict(pretrained='open-mmlab://resnet101_v1c', backbone=dict(depth=101))
