# Placement of units, compared with deeper networks and Non-local blocks: the 3D
# ResNet-50 of the GloRe release on Kinetics-400.
_base_ = '../video/plain_r50_8x8_kinetics400.py'

metric = 'acc/top1'
metric_limit = 1
backbone = dict(_delete_=True, type='WithGloRe', backbone=_base_.model.backbone)
non_local = dict(
    type='NonLocal3d',
    sub_sample=True,
    use_scale=True,
    norm_cfg=dict(type='BN3d'),
    mode='embedded_gaussian',
)
variants = {
    'plain': dict(),
    # slightly more operations than (2, 3)
    'deeper': dict(model=dict(backbone=dict(stage_blocks=(3, 6, 8, 3)))),
    **{
        name: dict(model=dict(backbone=dict(backbone, unit=unit, placement=placement)))
        for name, unit, placement in (
            ('glore_0-1', dict(), dict(layer3=1)),
            ('glore_0-3', dict(), dict(layer3=3)),
            ('glore_2-3', dict(), dict(layer2=2, layer3=3)),
            ('glore_stem', dict(), dict(layer1=('input',))),
            ('glore_res2', dict(), dict(layer1=1)),
            ('non_local_0-3', non_local, dict(layer3=3)),
            ('non_local_2-3', non_local, dict(layer2=2, layer3=3)),
        )
    },
}
