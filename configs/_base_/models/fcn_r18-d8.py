# A small FCN, trained from scratch: ResNet-18, output stride 8.
_base_ = './fcn_r50-d8.py'

model = dict(
    pretrained=None,  # for ImageNet weights: 'open-mmlab://resnet18_v1c'
    backbone=dict(depth=18),
    decode_head=dict(in_channels=512, channels=128),
    auxiliary_head=dict(in_channels=256, channels=64),
)
