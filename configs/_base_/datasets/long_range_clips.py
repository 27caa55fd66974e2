# Generated clips whose class depends on a cue in their first frames. To write them:
# python -m glore_mm.synthetic.long_range_clips data/long_range_clips
data_root = 'data/long_range_clips'
pipeline = [
    dict(type='VideoInit'),
    dict(type='StrictSampleFrames', clip_len=32, frame_interval=1, test_mode=True),
    dict(type='VideoDecode'),
    dict(type='CenterCrop', crop_size=32),  # the whole frame
    dict(type='FormatShape', input_format='NCTHW'),
    dict(type='PackActionInputs'),
]
train_dataloader = dict(
    batch_size=16,
    num_workers=1,
    persistent_workers=True,
    sampler=dict(type='InfiniteSampler', shuffle=True),
    dataset=dict(
        type='KineticsVideos',
        data_root=data_root,
        ann_file='train.txt',
        classes='label_map.txt',
        data_prefix=dict(video='train'),
        pipeline=pipeline,
    ),
)
test_dataloader = dict(
    batch_size=16,
    num_workers=1,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type='KineticsVideos',
        data_root=data_root,
        ann_file='val.txt',
        classes='label_map.txt',
        data_prefix=dict(video='val'),
        pipeline=pipeline,
        test_mode=True,
    ),
)
test_evaluator = dict(type='LongRangeClipAccuracy')
