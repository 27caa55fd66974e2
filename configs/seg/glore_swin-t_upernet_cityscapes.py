# The same with three units on the third stage, which is where Res4 is in a ResNet.
_base_ = './swin-t_upernet_cityscapes.py'

model = dict(
    backbone=dict(
        _delete_=True,
        type='WithGloRe',
        backbone=_base_.model.backbone,
        unit=dict(normalize=True, norm_cfg=_base_.model.decode_head.norm_cfg),
        placement={'stages.2.blocks': 3},
    )
)
# their norms, as those of the backbone
optim_wrapper = dict(
    paramwise_cfg=dict(custom_keys={'glore.blocker': dict(decay_mult=0.0)})
)
