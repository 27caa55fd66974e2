# plain_r18_cifar100.py with one unit on Res3 and one on Res4.
_base_ = './plain_r18_cifar100.py'

model = dict(
    backbone=dict(
        _delete_=True,
        type='WithGloRe',
        backbone=_base_.model.backbone,
        unit=dict(num_nodes=16),  # few, as Res4 has 8×8 positions
        placement=dict(layer2=1, layer3=1),
    )
)
