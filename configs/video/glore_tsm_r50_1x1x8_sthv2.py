# tsm_r50_1x1x8_sthv2.py with five units: two on Res3, three on Res4. A unit relates the
# positions of one frame.
_base_ = './tsm_r50_1x1x8_sthv2.py'

model = dict(
    backbone=dict(
        _delete_=True,
        type='WithGloRe',
        backbone=_base_.model.backbone,
        placement=dict(layer2=2, layer3=3),
    )
)
