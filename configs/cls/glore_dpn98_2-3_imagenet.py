# DPN-98 (2, 3): 80.2 top-1 in the release. Which sizes its units had is not known: here
# they grow with the channels of the blocks.
_base_ = './plain_dpn98_imagenet.py'

model = dict(
    backbone=dict(
        _delete_=True,
        type='WithGloRe',
        backbone=_base_.model.backbone,
        unit=dict(pre_act=True),
        # timm has all blocks of a DPN in one sequence
        placement={
            'timm_model.features.conv3_*': 2,
            'timm_model.features.conv4_*': 3,
        },
    )
)
