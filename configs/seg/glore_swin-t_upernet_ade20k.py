# swin-t_upernet_ade20k.py with three units on the third stage, which corresponds to
# Res4 of a ResNet.
_base_ = './swin-t_upernet_ade20k.py'

model = dict(
    backbone=dict(
        _delete_=True,
        type='WithGloRe',
        backbone=_base_.model.backbone,
        unit=dict(normalize=True, norm_cfg=_base_.model.decode_head.norm_cfg),
        placement={'stages.2.blocks': 3},
    )
)
# no weight decay for the norms of the units, as for those of the backbone
optim_wrapper = dict(
    paramwise_cfg=dict(custom_keys={'glore.blocker': dict(decay_mult=0.0)})
)
