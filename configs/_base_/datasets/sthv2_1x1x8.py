# Something-Something V2 for 2D networks such as TSM: one frame from each of 8 segments
# of the video, with mmaction2's augmentation.
_base_ = './sthv2.py'

segments = dict(type='StrictSampleFrames', clip_len=1, frame_interval=1, num_clips=8)
train_pipeline = [
    dict(type='VideoInit'),
    segments,
    dict(type='VideoDecode'),
    dict(type='Resize', scale=(-1, 256)),
    dict(
        type='MultiScaleCrop',
        input_size=224,
        scales=(1, 0.875, 0.75, 0.66),
        random_crop=False,
        max_wh_scale_gap=1,
        num_fixed_crops=13,
    ),
    dict(type='Resize', scale=(224, 224), keep_ratio=False),
    _base_.train_pipeline[5],  # Flip
    dict(type='FormatShape', input_format='NCHW'),
    dict(type='PackActionInputs'),
]
val_pipeline = _base_.val_pipeline
val_pipeline[1] = dict(segments, test_mode=True)
val_pipeline[-2] = dict(type='FormatShape', input_format='NCHW')
train_dataloader = dict(batch_size=16, dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(batch_size=16, dataset=dict(pipeline=val_pipeline))
test_dataloader = val_dataloader
del segments
