# mmpretrain's ResNet-50 on CUB-200-2011 with its recipe of 8 × 8 images, from weights
# of ImageNet-21k that mmengine downloads. mmpretrain reports 88.45 top-1.
_base_ = 'mmpretrain::resnet/resnet50_8xb8_cub.py'

custom_imports = dict(imports=['glore_mm.cls'])
custom_hooks = [dict(type='SkippedSamplesHook')]
train_pipeline = [dict(type='LoadImage'), *_base_.train_pipeline[1:]]
test_pipeline = [dict(type='LoadImage'), *_base_.test_pipeline[1:]]
train_dataloader = dict(dataset=dict(type='CUB200', pipeline=train_pipeline))
val_dataloader = dict(
    dataset=dict(type='CUB200', pipeline=test_pipeline, test_mode=True)
)
test_dataloader = val_dataloader
