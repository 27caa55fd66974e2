# mmaction2's SlowFast 8×8 with ResNet-50: the slow path takes 8 of 32 frames.
_base_ = './slowonly_r50.py'

path = dict(
    type='resnet3d',
    depth=50,
    pretrained=None,
    conv1_stride_t=1,
    pool1_stride_t=1,
    norm_eval=False,
)
model = dict(
    backbone=dict(
        _delete_=True,
        type='ResNet3dSlowFast',
        pretrained=None,
        resample_rate=4,
        speed_ratio=4,
        channel_ratio=8,
        slow_pathway=dict(
            lateral=True,
            conv1_kernel=(1, 7, 7),
            inflate=(0, 0, 1, 1),
            fusion_kernel=7,
            **path,
        ),
        fast_pathway=dict(
            lateral=False, base_channels=8, conv1_kernel=(5, 7, 7), **path
        ),
    ),
    cls_head=dict(type='SlowFastHead', in_channels=2304),
)
