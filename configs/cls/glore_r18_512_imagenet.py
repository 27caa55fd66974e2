# ResNet-18 with one unit of 128 nodes in the middle of Res4, after its first block, for
# crops of 512 pixels. The paper visualizes the projections of this network.
_base_ = [
    '../_base_/models/plain_r50.py',
    '../_base_/datasets/imagenet_512.py',
    '../_base_/schedules/imagenet_95e.py',
    '../_base_/cls_runtime.py',
]

model = dict(
    backbone=dict(
        _delete_=True,
        type='WithGloRe',
        backbone=dict(type='PreActResNet', depth=18),
        unit=dict(pre_act=True, num_nodes=128),
        placement=dict(layer3=1),
    ),
    head=dict(in_channels=512),
)
