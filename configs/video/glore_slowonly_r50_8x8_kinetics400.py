# SlowOnly with units in the places of mmaction2's Non-local blocks.
_base_ = './slowonly_r50_8x8_kinetics400.py'

model = dict(
    backbone=dict(
        _delete_=True,
        type='WithGloRe',
        backbone=_base_.model.backbone,
        placement=dict(layer2=2, layer3=3),
    )
)
