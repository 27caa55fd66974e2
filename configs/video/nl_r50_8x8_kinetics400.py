# mmaction2's Non-local blocks with its settings, in the places of the units.
_base_ = './glore_r50_8x8_kinetics400.py'

model = dict(
    backbone=dict(
        unit=dict(
            type='NonLocal3d',
            sub_sample=True,
            use_scale=True,
            norm_cfg=dict(type='BN3d'),
            mode='embedded_gaussian',
        )
    )
)
