# Which modules carry the class of a cue to a region at the other end of a strip?
_base_ = '../seg/fcn_long_range.py'

metric = 'acc'
solved_at = 99  # runs either solve the task or stay near chance
backbone = dict(_delete_=True, type='WithGloRe', backbone=_base_.model.backbone)
glore = dict(type='GloRe2d')
variants = {
    'plain': dict(),
    # more operations than any other variant
    'deeper': dict(model=dict(decode_head=dict(num_convs=8))),
    **{
        name: dict(model=dict(backbone=dict(backbone, unit=unit, placement=placement)))
        for name, unit, placement in (
            ('glore_stem', glore, dict(layer1=('input',))),
            ('glore_res2', glore, dict(layer1=1)),
            ('glore_res3', glore, dict(layer2=1)),
            ('glore_res4', glore, dict(layer3=1)),
            ('glore_res4_normalize', dict(glore, normalize=True), dict(layer3=1)),
            ('non_local_res4', dict(type='NonLocal2d', reduction=2), dict(layer3=1)),
            ('context_res4', dict(type='ContextBlock', ratio=1 / 4), dict(layer3=1)),
        )
    },
}
