# UPerNet on ConvNeXt-T: network and optimizer of mmsegmentation's recipe for ADE20K,
# with crops of 512×1024 and 80k iterations. Needs mmpretrain.
_base_ = './swin-t_upernet_cityscapes.py'

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
    )
)
optim_wrapper = dict(
    optimizer=dict(lr=1e-4, weight_decay=0.05),
    paramwise_cfg=dict(
        _delete_=True, decay_rate=0.9, decay_type='stage_wise', num_layers=6
    ),
    constructor='LearningRateDecayOptimizerConstructor',
)
