# Context modules in the head, and units in the backbone: FCN on a dilated ResNet-50 on
# Cityscapes.
_base_ = '../seg/fcn_cityscapes.py'

metric = 'mIoU'
backbone = dict(_delete_=True, type='WithGloRe', backbone=_base_.model.backbone)
glore = dict(normalize=True, norm_cfg=_base_.norm_cfg)
non_local = dict(type='NonLocal2d', reduction=2, norm_cfg=_base_.norm_cfg)
variants = {
    'plain': dict(),
    # one more convolution, the smallest step; it costs more than a unit in the head
    'deeper': dict(model=dict(decode_head=dict(num_convs=3))),
    'glore_head': dict(model=dict(decode_head=dict(type='GloReHead'))),
    'non_local_head': dict(model=dict(decode_head=dict(type='NLHead'))),
    'global_context_head': dict(model=dict(decode_head=dict(type='GCHead'))),
    **{
        name: dict(model=dict(backbone=dict(backbone, unit=unit, placement=placement)))
        for name, unit, placement in (
            ('glore_0-1', glore, dict(layer3=1)),
            ('glore_0-3', glore, dict(layer3=3)),
            ('glore_2-3', glore, dict(layer2=2, layer3=3)),
            ('glore_stem', glore, dict(layer1=('input',))),
            ('glore_res2', glore, dict(layer1=1)),
            ('non_local_0-3', non_local, dict(layer3=3)),
        )
    },
}
