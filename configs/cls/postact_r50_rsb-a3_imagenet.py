# mmpretrain's ResNet-50, post-activation, with its recipe A3 of "ResNet strikes back".
# mmpretrain reports 78.30 top-1.
_base_ = 'mmpretrain::resnet/resnet50_8xb256-rsb-a3-100e_in1k.py'

custom_imports = dict(imports=['glore_mm.cls'])
custom_hooks = [dict(type='SkippedSamplesHook')]
train_pipeline = [dict(type='LoadImage'), *_base_.train_pipeline[1:]]
test_pipeline = [dict(type='LoadImage'), *_base_.test_pipeline[1:]]
train_dataloader = dict(dataset=dict(type='ImageNetFolders', pipeline=train_pipeline))
val_dataloader = dict(
    dataset=dict(type='ImageNetFolders', pipeline=test_pipeline, test_mode=True)
)
test_dataloader = val_dataloader
