# One unit in EfficientNet-Lite0, fine-tuned from ImageNet weights on class folders.
_base_ = '../cls/plain_lite0_custom.py'

metric = 'accuracy/top1'
val_cfg, val_dataloader, val_evaluator = None, None, None
default_hooks = dict(checkpoint=dict(save_best=None, save_optimizer=False))
backbone = dict(
    _delete_=True,
    type='WithGloRe',
    backbone=_base_.model.backbone,
    placement={'timm_model.blocks.4': 1},
)
non_local = dict(type='NonLocal2d', reduction=2)
variants = dict(
    plain=dict(),
    glore_stride16=dict(model=dict(backbone=backbone)),
    non_local_stride16=dict(model=dict(backbone=dict(backbone, unit=non_local))),
)
