# The released network, ResNet-101: 80.9 class IoU on Cityscapes test.
_base_ = './glore_cityscapes_r50_released.py'

model = dict(pretrained='torchvision://resnet101', backbone=dict(depth=101))
