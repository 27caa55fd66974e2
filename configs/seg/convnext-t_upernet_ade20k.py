# UPerNet on ConvNeXt-T with mmsegmentation's recipe. mmsegmentation reports 46.11 mIoU
# on ADE20K val, in mixed precision (--amp). Needs mmpretrain.
_base_ = [
    '../_base_/models/upernet_convnext-t.py',
    '../_base_/datasets/ade20k.py',
    '../_base_/seg_runtime.py',
    '../_base_/schedules/adamw_160k.py',
]

custom_imports = dict(imports=['glore_mm.seg', 'mmpretrain.models'])
model = dict(
    data_preprocessor=dict(size=(512, 512)),
    decode_head=dict(num_classes=150),
    auxiliary_head=dict(num_classes=150),
    test_cfg=dict(mode='slide', crop_size=(512, 512), stride=(341, 341)),
)
train_dataloader = dict(batch_size=2)
optim_wrapper = dict(
    optimizer=dict(lr=1e-4, weight_decay=0.05),
    paramwise_cfg=dict(
        _delete_=True, decay_rate=0.9, decay_type='stage_wise', num_layers=6
    ),
    constructor='LearningRateDecayOptimizerConstructor',
)
