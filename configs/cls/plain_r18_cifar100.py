# mmpretrain's ResNet-18 for images of 32×32, with its recipe for CIFAR-100 of 8 × 16
# images. mmpretrain reports results for CIFAR-100 of a ResNet-50 only.
_base_ = 'mmpretrain::resnet/resnet50_8xb16_cifar100.py'

custom_imports = dict(imports=['glore_mm.cls'])
custom_hooks = [dict(type='SkippedSamplesHook')]
model = dict(backbone=dict(depth=18), head=dict(in_channels=512))
# as LoadImage, which reads the images for tools/infer.py, the data set returns BGR
data_preprocessor = dict(to_rgb=True)
train_pipeline = [dict(type='LoadImage'), *_base_.train_pipeline]
test_pipeline = [
    dict(type='LoadImage'),
    dict(type='Resize', scale=(32, 32)),  # other images, for tools/infer.py
    *_base_.test_pipeline,
]
train_dataloader = dict(dataset=dict(type='CIFAR100Files', pipeline=train_pipeline))
val_dataloader = dict(
    dataset=dict(
        type='CIFAR100Files',
        data_root='data/cifar100',
        pipeline=test_pipeline,
        test_mode=True,
    )
)
test_dataloader = val_dataloader
