# Placement of units, compared with deeper networks and Non-local blocks: the
# pre-activation ResNet-50 of the GloRe release on ImageNet.
_base_ = '../cls/plain_r50_imagenet.py'

metric = 'accuracy/top1'
backbone = dict(_delete_=True, type='WithGloRe', backbone=_base_.model.backbone)
glore = dict(pre_act=True)  # the variant in the release's ImageNet networks
non_local = dict(
    type='NonLocal2d',
    reduction=2,
    use_scale=True,
    norm_cfg=dict(type='BN'),
    mode='embedded_gaussian',
)
variants = {
    'plain': dict(),
    # slightly more operations than (0, 3)
    'deeper': dict(model=dict(backbone=dict(stage_blocks=(3, 4, 12, 3)))),
    **{
        name: dict(model=dict(backbone=dict(backbone, unit=unit, placement=placement)))
        for name, unit, placement in (
            ('glore_0-1', glore, dict(layer3=1)),
            ('glore_0-3', glore, dict(layer3=3)),
            ('glore_2-3', glore, dict(layer2=2, layer3=3)),
            ('glore_stem', glore, dict(layer1=('input',))),
            ('glore_res2', glore, dict(layer1=1)),
            ('non_local_0-3', non_local, dict(layer3=3)),
            ('non_local_2-3', non_local, dict(layer2=2, layer3=3)),
        )
    },
}
