# Kinetics-400 as video files in data/kinetics400; docs/kinetics.md shows how to prepare
# it. Clips of 8 frames with interval 8; augmentation of the GloRe release. For folders
# of JPEG frames see kinetics400_rawframes.py.
data_root = 'data/kinetics400'
train_pipeline = [
    dict(type='VideoInit'),
    dict(type='StrictSampleFrames', clip_len=8, frame_interval=8),
    dict(type='VideoDecode'),
    dict(type='RandomScaleAspect', short_side=(224, 340), aspect=(0.8, 1.25)),
    dict(type='RandomCrop', size=224),
    dict(type='Flip', flip_ratio=0.5),
    # slow, with little gain
    dict(type='HLSJitter', hue=15, lightness=35, saturation=25),
    dict(type='PixelNoise', low=-20, high=20),
    dict(type='FormatShape', input_format='NCTHW'),
    dict(type='PackActionInputs'),
]
val_pipeline = [
    dict(type='VideoInit'),
    dict(type='StrictSampleFrames', clip_len=8, frame_interval=8, test_mode=True),
    dict(type='VideoDecode'),
    dict(type='Resize', scale=(-1, 256)),
    dict(type='CenterCrop', crop_size=224),
    dict(type='FormatShape', input_format='NCTHW'),
    dict(type='PackActionInputs'),
]
# 8 clips per GPU, as the release trains on nodes of 8 GPUs with 64 clips
train_dataloader = dict(
    batch_size=8,
    num_workers=8,
    persistent_workers=True,
    drop_last=True,
    sampler=dict(type='DefaultSampler', shuffle=True),
    dataset=dict(
        type='KineticsVideos',
        data_root=data_root,
        ann_file='kinetics400_train_list_videos.txt',
        data_prefix=dict(video='videos_train'),
        pipeline=train_pipeline,
    ),
)
val_dataloader = dict(
    batch_size=8,
    num_workers=8,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type='KineticsVideos',
        data_root=data_root,
        ann_file='kinetics400_val_list_videos.txt',
        data_prefix=dict(video='videos_val'),
        pipeline=val_pipeline,
        test_mode=True,
    ),
)
# one centre clip and crop, as in the release; for more: tools/test.py --views 10x3
test_dataloader = val_dataloader
val_evaluator = dict(type='AccMetric')  # top-1, top-5, mean class accuracy
test_evaluator = val_evaluator
