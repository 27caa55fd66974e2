# Video Swin-T with mmaction2's recipe. mmaction2 reports 78.90 top-1, in mixed
# precision (--amp) and with --views 4x3.
_base_ = [
    'mmaction::_base_/models/swin_tiny.py',
    '../_base_/datasets/kinetics400_32x2.py',
    '../_base_/schedules/kinetics400_swin.py',
    '../_base_/video_runtime.py',
]

checkpoint_file = (
    'https://download.openmmlab.com/mmaction/v1.0/recognition/swin/'
    'swin_tiny_patch4_window7_224.pth'
)
model = dict(backbone=dict(pretrained=checkpoint_file))
train_pipeline = [
    *_base_.train_pipeline[:3],  # they read the clip
    dict(type='Resize', scale=(-1, 256)),
    dict(type='RandomResizedCrop'),
    dict(type='Resize', scale=(224, 224), keep_ratio=False),
    dict(type='Flip', flip_ratio=0.5),
    dict(type='FormatShape', input_format='NCTHW'),
    dict(type='PackActionInputs'),
]
test_pipeline = [
    *_base_.val_pipeline[:3],
    dict(type='Resize', scale=(-1, 224)),
    *_base_.val_pipeline[4:],
]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
test_dataloader = dict(dataset=dict(pipeline=test_pipeline))
