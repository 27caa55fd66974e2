# The same with three units, spread over the twelve blocks; the class token stays out of
# them.
_base_ = './plain_deit-s_imagenet.py'

model = dict(
    backbone=dict(
        _delete_=True,
        type='WithGloRe',
        backbone=_base_.model.backbone,
        placement=dict(layers=3),
    )
)
