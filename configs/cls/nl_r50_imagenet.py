# mmcv's Non-local blocks in the places of the units of R50 (0, 3).
_base_ = './glore_r50_imagenet.py'

model = dict(
    backbone=dict(
        unit=dict(
            _delete_=True,
            type='NonLocal2d',
            reduction=2,
            use_scale=True,
            norm_cfg=dict(type='BN'),
            mode='embedded_gaussian',
        )
    )
)
