# plain_r18_custom.py with one unit in the middle of Res4. All crops have the same size,
# so the unit does not need `normalize`.
_base_ = './plain_r18_custom.py'

model = dict(
    backbone=dict(
        _delete_=True,
        type='WithGloRe',
        backbone=_base_.model.backbone,
        placement=dict(layer3=1),
    )
)
