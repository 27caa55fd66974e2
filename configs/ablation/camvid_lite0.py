# Context modules on CamVid, fine-tuned from ImageNet weights. All variants use the
# recipe of the plain network; no variant was tuned.
_base_ = '../seg/fcn_lite0_camvid.py'

metric = 'mIoU'
# no validation: the ablation tests the final network once
val_cfg, val_dataloader, val_evaluator = None, None, None
default_hooks = dict(checkpoint=dict(save_best=None, save_optimizer=False))
variants = dict(
    plain=dict(),
    deeper=dict(model=dict(decode_head=dict(num_convs=3))),
    glore_head=dict(model=dict(decode_head=dict(type='GloReHead'))),
    glore_stride8=dict(
        model=dict(
            backbone=dict(
                _delete_=True,
                type='WithGloRe',
                backbone=_base_.model.backbone,
                unit=dict(normalize=True, norm_cfg=_base_.norm_cfg),
                placement={'timm_model.blocks.2': 1},
            )
        )
    ),
    non_local_head=dict(model=dict(decode_head=dict(type='NLHead'))),
)
