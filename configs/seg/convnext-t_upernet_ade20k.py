# UPerNet on ConvNeXt-T with mmsegmentation's recipe. mmsegmentation reports 46.11 mIoU
# on ADE20K val, in mixed precision (--amp). Needs mmpretrain.
_base_ = './swin-t_upernet_ade20k.py'

custom_imports = dict(imports=['glore_mm.seg', 'mmpretrain.models'])
checkpoint_file = (
    'https://download.openmmlab.com/mmclassification/v0/convnext/downstream/'
    'convnext-tiny_3rdparty_32xb128-noema_in1k_20220301-795e9634.pth'
)
model = dict(
    backbone=dict(
        _delete_=True,
        type='mmpretrain.ConvNeXt',
        arch='tiny',
        out_indices=[0, 1, 2, 3],
        drop_path_rate=0.4,
        layer_scale_init_value=1.0,
        gap_before_final_norm=False,
        init_cfg=dict(
            type='Pretrained', checkpoint=checkpoint_file, prefix='backbone.'
        ),
    ),
    test_cfg=dict(mode='slide', crop_size=(512, 512), stride=(341, 341)),
)
optim_wrapper = dict(
    optimizer=dict(lr=1e-4, weight_decay=0.05),
    paramwise_cfg=dict(
        _delete_=True, decay_rate=0.9, decay_type='stage_wise', num_layers=6
    ),
    constructor='LearningRateDecayOptimizerConstructor',
)
