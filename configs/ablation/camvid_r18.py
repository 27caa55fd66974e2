# Context modules on CamVid, trained from scratch. All variants use the recipe of the
# plain network; no variant was tuned.
_base_ = '../seg/fcn_r18-d16_camvid.py'

metric = 'mIoU'
# no validation: the ablation tests the final network once
val_cfg, val_dataloader, val_evaluator = None, None, None
default_hooks = dict(checkpoint=dict(save_best=None, save_optimizer=False))
variants = dict(
    plain=dict(),
    glore_head=dict(model=dict(decode_head=dict(type='GloReHead'))),
    glore_res3_res4=dict(
        model=dict(
            backbone=dict(
                _delete_=True,
                type='WithGloRe',
                backbone=_base_.model.backbone,
                unit=dict(normalize=True, norm_cfg=_base_.norm_cfg),
                placement=dict(layer2=1, layer3=1),
            )
        )
    ),
    non_local_head=dict(model=dict(decode_head=dict(type='NLHead'))),
    global_context_head=dict(model=dict(decode_head=dict(type='GCHead'))),
)
