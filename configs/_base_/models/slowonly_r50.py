# mmaction2's SlowOnly with a ResNet-50.
_base_ = './plain_r50_3d.py'

model = dict(
    backbone=dict(
        _delete_=True,
        type='ResNet3dSlowOnly',
        depth=50,
        # 2D weights from ImageNet, inflated by mmaction2
        pretrained='https://download.pytorch.org/models/resnet50-11ad3fa6.pth',
        pretrained2d=True,
        lateral=False,
        conv1_kernel=(1, 7, 7),
        conv1_stride_t=1,
        pool1_stride_t=1,
        inflate=(0, 0, 1, 1),
        norm_eval=False,
    ),
    data_preprocessor=dict(mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375]),
)
