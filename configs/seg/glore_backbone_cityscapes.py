# Units in the backbone instead of the head: two on Res3, three on Res4.
_base_ = './fcn_cityscapes.py'

model = dict(
    backbone=dict(
        _delete_=True,
        type='WithGloRe',
        backbone=_base_.model.backbone,
        unit=dict(normalize=True, norm_cfg=_base_.norm_cfg),
        placement=dict(layer2=2, layer3=3),
    )
)
