# The released network, ResNet-50: 79.5 class IoU on Cityscapes test. Convert its
# checkpoint from the release's archive. Stem, dilations, input and test are those of
# the release's code base, DANet of 2018. The release's recipe is not public.
_base_ = './glore_cityscapes.py'

model = dict(
    pretrained='torchvision://resnet50',
    backbone=dict(type='ResNet', multi_grid=(4, 8, 16)),
    decode_head=dict(align_corners=True),
    auxiliary_head=None,
    test_cfg=dict(mode='slide', crop_size=(768, 768), stride=(512, 512)),
)
