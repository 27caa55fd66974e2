# mmpretrain's ConvNeXt-T with its recipe of 32 × 128 images. mmpretrain reports 82.14
# top-1.
_base_ = 'mmpretrain::convnext/convnext-tiny_32xb128_in1k.py'

custom_imports = dict(imports=['glore_mm.cls'])
custom_hooks = [*_base_.custom_hooks, dict(type='SkippedSamplesHook')]
train_pipeline = [dict(type='LoadImage'), *_base_.train_pipeline[1:]]
test_pipeline = [dict(type='LoadImage'), *_base_.test_pipeline[1:]]
train_dataloader = dict(dataset=dict(type='ImageNetFolders', pipeline=train_pipeline))
val_dataloader = dict(
    dataset=dict(type='ImageNetFolders', pipeline=test_pipeline, test_mode=True)
)
test_dataloader = val_dataloader
