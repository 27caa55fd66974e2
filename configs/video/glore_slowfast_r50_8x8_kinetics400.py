# SlowFast with units in its slow path.
_base_ = './slowfast_r50_8x8_kinetics400.py'

model = dict(
    backbone=dict(
        _delete_=True,
        type='WithGloRe',
        backbone=_base_.model.backbone,
        placement={'slow_path.layer2': 2, 'slow_path.layer3': 3},
    )
)
