# postact_r50_rsb-a3_imagenet.py with three units on Res4, with a norm at their end.
_base_ = './postact_r50_rsb-a3_imagenet.py'

model = dict(
    backbone=dict(
        _delete_=True,
        type='WithGloRe',
        backbone=_base_.model.backbone,
        placement=dict(layer3=3),
    )
)
