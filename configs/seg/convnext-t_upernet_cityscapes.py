# UPerNet on ConvNeXt-T: network and optimizer of mmsegmentation's recipe for ADE20K,
# with crops of 512×1024 and 80k iterations. Needs mmpretrain.
_base_ = [
    '../_base_/models/upernet_convnext-t.py',
    '../_base_/datasets/cityscapes.py',
    '../_base_/seg_runtime.py',
    '../_base_/schedules/adamw_80k.py',
]

custom_imports = dict(imports=['glore_mm.seg', 'mmpretrain.models'])
model = dict(data_preprocessor=dict(size=(512, 1024)))
optim_wrapper = dict(
    optimizer=dict(lr=1e-4, weight_decay=0.05),
    paramwise_cfg=dict(
        _delete_=True, decay_rate=0.9, decay_type='stage_wise', num_layers=6
    ),
    constructor='LearningRateDecayOptimizerConstructor',
)
