# DPN-98 (2, 3): 80.2 top-1 in the release. The places and sizes of its units are not
# documented; the converter reports differences to a checkpoint.
_base_ = './plain_dpn98_imagenet.py'

norm_cfg = dict(type='BN', eps=1e-3)
with_two = dict(
    type='WithGloRe',
    backbone=_base_.model.backbone,
    unit=dict(type='DualPathGloRe2d', residual_channels=512, norm_cfg=norm_cfg),
    # timm's DPN has all blocks in one Sequential
    placement={'timm_model.features.conv3_*': 2},
)
model = dict(
    backbone=dict(
        _delete_=True,
        type='WithGloRe',
        backbone=with_two,
        unit=dict(type='DualPathGloRe2d', residual_channels=1024, norm_cfg=norm_cfg),
        placement={'timm_model.features.conv4_*': 3},
    )
)
del with_two
