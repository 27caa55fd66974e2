# AdamW with a warm-up, from mmsegmentation's UPerNet with Swin: 8 GPUs with 2 images
# each. mmsegmentation's 160k iterations are for ADE20K.
_base_ = './sgd_80k.py'

optim_wrapper = dict(
    optimizer=dict(
        _delete_=True, type='AdamW', lr=6e-5, betas=(0.9, 0.999), weight_decay=0.01
    ),
    paramwise_cfg=dict(
        custom_keys={
            'absolute_pos_embed': dict(decay_mult=0.0),
            'relative_position_bias_table': dict(decay_mult=0.0),
            'norm': dict(decay_mult=0.0),
        }
    ),
)
param_scheduler = [
    dict(type='LinearLR', start_factor=1e-6, by_epoch=False, begin=0, end=1500),
    dict(type='PolyLR', eta_min=0, power=1, begin=1500, end=80000, by_epoch=False),
]
auto_scale_lr = dict(enable=False, base_batch_size=16)
