# Does a unit carry what convolutions cannot reach? The class of a region is told by a
# cue at the other end of the strip.
_base_ = [
    '../_base_/models/fcn_narrow_r18.py',
    '../_base_/datasets/long_range_strips.py',
    '../_base_/seg_runtime.py',
    '../_base_/schedules/sgd_80k.py',
]

optim_wrapper = dict(
    optimizer=dict(_delete_=True, type='AdamW', lr=0.003, weight_decay=0.05)
)
param_scheduler = [
    dict(type='PolyLR', eta_min=1e-5, power=0.9, begin=0, end=450, by_epoch=False)
]
train_cfg = dict(max_iters=450, val_interval=450)
val_cfg = None  # what training ends with is tested once, by the ablation
default_hooks = dict(
    checkpoint=dict(interval=450, save_best=None, save_optimizer=False)
)

metric = 'acc'
backbone = dict(_delete_=True, type='WithGloRe', backbone=_base_.model.backbone)
glore = dict(type='GloRe2d')
variants = {
    'plain': dict(),
    # more operations than any other of these
    'deeper': dict(model=dict(decode_head=dict(num_convs=8))),
    **{
        name: dict(model=dict(backbone=dict(backbone, unit=unit, placement=placement)))
        for name, unit, placement in (
            ('glore_stem', glore, dict(layer1=('input',))),
            ('glore_res2', glore, dict(layer1=1)),
            ('glore_res3', glore, dict(layer2=1)),
            ('glore_res4', glore, dict(layer3=1)),
            ('non_local_res4', dict(type='NonLocal2d', reduction=2), dict(layer3=1)),
            ('context_res4', dict(type='ContextBlock', ratio=1 / 4), dict(layer3=1)),
        )
    },
}
