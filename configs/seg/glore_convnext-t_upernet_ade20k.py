# convnext-t_upernet_ade20k.py with three units on the third stage, which corresponds to
# Res4 of a ResNet.
_base_ = './convnext-t_upernet_ade20k.py'

model = dict(
    backbone=dict(
        _delete_=True,
        type='WithGloRe',
        backbone=_base_.model.backbone,
        unit=dict(normalize=True, norm_cfg=_base_.model.decode_head.norm_cfg),
        placement={'stages.2': 3},
    )
)
