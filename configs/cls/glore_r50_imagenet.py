# R50 (0, 3), three units on Res4: 78.4 top-1 in the release.
_base_ = './plain_r50_imagenet.py'

model = dict(
    backbone=dict(
        _delete_=True,
        type='WithGloRe',
        backbone=_base_.model.backbone,
        unit=dict(pre_act=True),  # the form of the release's ImageNet networks
        placement=dict(layer3=3),
    )
)
