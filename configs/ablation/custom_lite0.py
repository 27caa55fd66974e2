# One unit in EfficientNet-Lite0, fine-tuned from ImageNet weights on class folders.
# Half the epochs of the base, as tiny data sets need many seeds.
_base_ = '../cls/plain_lite0_custom.py'

metric = 'accuracy/top1'
param_scheduler = _base_.param_scheduler
param_scheduler[1].update(T_max=5)
train_cfg = dict(max_epochs=5)
val_cfg, val_dataloader, val_evaluator = None, None, None
default_hooks = dict(checkpoint=dict(save_best=None, save_optimizer=False))
variants = dict(
    plain=dict(),
    glore_stride16=dict(
        model=dict(
            backbone=dict(
                _delete_=True,
                type='WithGloRe',
                backbone=_base_.model.backbone,
                placement={'timm_model.blocks.4': 1},
            )
        )
    ),
)
