# long_range.py for time: the class at the end of a clip depends on its first frames.
_base_ = [
    '../_base_/models/plain_r50_3d.py',
    '../_base_/datasets/long_range_clips.py',
    '../_base_/video_runtime.py',
]

model = dict(
    backbone=dict(base_channels=16, stage_blocks=(1, 1, 1, 1)),
    cls_head=dict(
        type='LastFrameHead',
        num_classes=4,
        in_channels=512,
        dropout_ratio=0.0,
        topk=(1,),
    ),
)
log_processor = dict(by_epoch=False)
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='AdamW', lr=0.003, weight_decay=0.05),
    clip_grad=dict(max_norm=40, norm_type=2),
)
param_scheduler = [
    dict(type='PolyLR', eta_min=1e-5, power=0.9, begin=0, end=150, by_epoch=False)
]
train_cfg = dict(type='IterBasedTrainLoop', max_iters=150, val_interval=150)
test_cfg = dict(type='TestLoop')
default_hooks = dict(
    logger=dict(log_metric_by_epoch=False),
    checkpoint=dict(by_epoch=False, interval=150, save_best=None, save_optimizer=False),
)

metric = 'acc'
solved_at = 99  # runs either solve the task or stay near chance
narrow = dict(type='PreActResNet3d', base_channels=16, stage_blocks=(1, 1, 1, 1))
glore = dict(num_nodes=16)  # few, as there are few positions
non_local = dict(type='NonLocal3d', reduction=2, norm_cfg=dict(type='BN3d'))
variants = {
    'plain': dict(),
    # more operations than any other variant
    'deeper': dict(model=dict(backbone=dict(stage_blocks=(1, 1, 3, 1)))),
    **{
        name: dict(
            model=dict(
                backbone=dict(
                    _delete_=True,
                    type='WithGloRe',
                    backbone=narrow,
                    unit=unit,
                    placement=placement,
                )
            )
        )
        for name, unit, placement in (
            ('glore_stem', glore, dict(layer1=('input',))),
            ('glore_res2', glore, dict(layer1=1)),
            ('glore_res3', glore, dict(layer2=1)),
            ('glore_res4', glore, dict(layer3=1)),
            ('non_local_res4', non_local, dict(layer3=1)),
        )
    },
}
