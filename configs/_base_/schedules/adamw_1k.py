# AdamW for fine-tuning on a small data set, 4 images per step. The new layers learn
# faster than the pretrained ones.
_base_ = './sgd_80k.py'

optim_wrapper = dict(
    optimizer=dict(_delete_=True, type='AdamW', lr=5e-4, weight_decay=0.01),
    paramwise_cfg=dict(
        custom_keys={
            'decode_head': dict(lr_mult=10.0),
            '.glore.': dict(lr_mult=10.0),
        }
    ),
)
param_scheduler = [
    dict(type='PolyLR', eta_min=0, power=0.9, begin=0, end=1000, by_epoch=False)
]
train_cfg = dict(max_iters=1000, val_interval=1000)
default_hooks = dict(checkpoint=dict(interval=1000, max_keep_ckpts=2))
auto_scale_lr = dict(base_batch_size=4)
