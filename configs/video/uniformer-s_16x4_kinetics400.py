# UniFormer-S as in mmaction2. With --views 4x1 mmaction2 reports 80.9 top-1 for the
# weights of its authors.
_base_ = [
    '../_base_/datasets/kinetics400.py',
    '../_base_/schedules/kinetics400_uniformer.py',
    '../_base_/video_runtime.py',
]

model = dict(
    type='Recognizer3D',
    backbone=dict(
        type='UniFormer',
        depth=[3, 4, 8, 3],
        embed_dim=[64, 128, 320, 512],
        head_dim=64,
        drop_path_rate=0.1,
        pretrained='uniformer_small_in1k',  # 2D weights from ImageNet, inflated
    ),
    cls_head=dict(
        type='I3DHead',
        dropout_ratio=0.0,
        num_classes=400,
        in_channels=512,
        average_clips='prob',
    ),
    data_preprocessor=dict(
        type='ActionDataPreprocessor',
        mean=[114.75, 114.75, 114.75],
        std=[57.375, 57.375, 57.375],
        format_shape='NCTHW',
    ),
)
train_pipeline = [
    *_base_.train_pipeline[:3],  # they read the clip
    dict(type='Resize', scale=(-1, 256)),
    dict(type='RandomResizedCrop'),
    dict(type='Resize', scale=(224, 224), keep_ratio=False),
    dict(type='Flip', flip_ratio=0.5),
    dict(type='FormatShape', input_format='NCTHW'),
    dict(type='PackActionInputs'),
]
val_pipeline = _base_.val_pipeline
val_pipeline[3] = dict(type='Resize', scale=(-1, 224))
for pipeline in (train_pipeline, val_pipeline):
    pipeline[1].update(clip_len=16, frame_interval=4)  # StrictSampleFrames
train_dataloader = dict(batch_size=32, dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(batch_size=32, dataset=dict(pipeline=val_pipeline))
test_dataloader = val_dataloader
del pipeline
