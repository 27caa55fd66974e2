# plain_lite0_custom.py with one unit in the last stage of stride 16.
_base_ = './plain_lite0_custom.py'

model = dict(
    backbone=dict(
        _delete_=True,
        type='WithGloRe',
        backbone=_base_.model.backbone,
        placement={'timm_model.blocks.4': 1},
    )
)
