# uniformer-s_16x4_kinetics400.py with three units on the third stage, which
# corresponds to Res4 of a ResNet.
_base_ = './uniformer-s_16x4_kinetics400.py'

model = dict(
    backbone=dict(
        _delete_=True,
        type='WithGloRe',
        backbone=_base_.model.backbone,
        placement=dict(blocks3=3),
    )
)
