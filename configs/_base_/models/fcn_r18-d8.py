# A small FCN for small machines: ResNet-18, output stride 8, from scratch.
_base_ = './fcn_r50-d8.py'

model = dict(
    pretrained=None,  # 'open-mmlab://resnet18_v1c' starts from ImageNet
    backbone=dict(depth=18),
    decode_head=dict(in_channels=512, channels=128),
    auxiliary_head=dict(in_channels=256, channels=64),
)
