# R50 (0, 3), three units on Res4: 78.4 top-1 in the release.
_base_ = './plain_r50_imagenet.py'

model = dict(
    backbone=dict(
        _delete_=True,
        type='WithGloRe',
        backbone=_base_.model.backbone,
        # the variant in the release's ImageNet networks
        unit=dict(pre_act=True, norm_cfg=dict(type='BN', eps=1e-3)),
        placement=dict(layer3=3),
    )
)
