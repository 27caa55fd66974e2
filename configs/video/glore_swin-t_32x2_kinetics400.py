# The same with three units on the third stage, which is where Res4 is in a ResNet.
_base_ = './swin-t_32x2_kinetics400.py'

model = dict(
    backbone=dict(
        _delete_=True,
        type='WithGloRe',
        backbone=_base_.model.backbone,
        placement={'layers.2.blocks': 3},
    )
)
# their norms, as those of the backbone
optim_wrapper = dict(paramwise_cfg={'glore.blocker': dict(decay_mult=0.0)})
