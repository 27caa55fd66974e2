# The same with one unit in the middle of Res4. Photographs vary in size, crops do not:
# no need to normalise.
_base_ = './plain_r18_custom.py'

model = dict(
    backbone=dict(
        _delete_=True,
        type='WithGloRe',
        backbone=_base_.model.backbone,
        placement=dict(layer3=1),
    )
)
