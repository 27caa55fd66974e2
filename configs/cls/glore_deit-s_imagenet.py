# plain_deit-s_imagenet.py with three units, spread over the twelve blocks. They do not
# take the class token.
_base_ = './plain_deit-s_imagenet.py'

model = dict(
    backbone=dict(
        _delete_=True,
        type='WithGloRe',
        backbone=_base_.model.backbone,
        placement=dict(layers=3),
    )
)
