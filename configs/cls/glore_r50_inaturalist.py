# plain_r50_inaturalist.py with two units on Res3 and three on Res4.
_base_ = './plain_r50_inaturalist.py'

model = dict(
    backbone=dict(
        _delete_=True,
        type='WithGloRe',
        backbone=_base_.model.backbone,
        placement=dict(layer2=2, layer3=3),
    )
)
