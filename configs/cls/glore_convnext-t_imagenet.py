# plain_convnext-t_imagenet.py with three units on the third stage, which corresponds to
# Res4 of a ResNet.
_base_ = './plain_convnext-t_imagenet.py'

model = dict(
    backbone=dict(
        _delete_=True,
        type='WithGloRe',
        backbone=_base_.model.backbone,
        placement={'stages.2': 3},
    )
)
