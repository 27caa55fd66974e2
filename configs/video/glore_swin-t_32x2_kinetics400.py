# swin-t_32x2_kinetics400.py with three units on the third stage, which corresponds to
# Res4 of a ResNet.
_base_ = './swin-t_32x2_kinetics400.py'

model = dict(
    backbone=dict(
        _delete_=True,
        type='WithGloRe',
        backbone=_base_.model.backbone,
        placement={'layers.2.blocks': 3},
    )
)
# no weight decay for the norms of the units, as for those of the backbone
optim_wrapper = dict(paramwise_cfg={'glore.blocker': dict(decay_mult=0.0)})
