# plain_r50_inaturalist.py with three units on Res4.
_base_ = './plain_r50_inaturalist.py'

model = dict(
    backbone=dict(
        _delete_=True,
        type='WithGloRe',
        backbone=_base_.model.backbone,
        placement=dict(layer3=3),
    )
)
