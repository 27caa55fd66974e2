# unet_chase-db1.py with one unit after the encoder, where the map of a crop has 8×8
# positions: 32 nodes instead of the default 256.
_base_ = './unet_chase-db1.py'

model = dict(
    backbone=dict(
        _delete_=True,
        type='WithGloRe',
        backbone=_base_.model.backbone,
        unit=dict(num_nodes=32, normalize=True, norm_cfg=_base_.norm_cfg),
        placement=['encoder.4'],
    )
)
