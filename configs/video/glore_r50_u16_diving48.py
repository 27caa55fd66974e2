# plain_r50_u16_diving48.py with five units: two on Res3, three on Res4.
_base_ = './plain_r50_u16_diving48.py'

model = dict(
    backbone=dict(
        _delete_=True,
        type='WithGloRe',
        backbone=_base_.model.backbone,
        placement=dict(layer2=2, layer3=3),
    )
)
