# segformer_mit-b0_ade20k.py with one unit after each of the two blocks of the third
# stage, which corresponds to Res4 of a ResNet.
_base_ = './segformer_mit-b0_ade20k.py'

model = dict(
    backbone=dict(
        _delete_=True,
        type='WithGloRe',
        backbone=_base_.model.backbone,
        unit=dict(normalize=True, norm_cfg=_base_.model.decode_head.norm_cfg),
        placement={'layers.2.1': 2},
    )
)
# no weight decay for the norms of the units, as for those of the backbone
optim_wrapper = dict(
    paramwise_cfg=dict(custom_keys={'glore.blocker': dict(decay_mult=0.0)})
)
