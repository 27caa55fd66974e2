# Diving-48 (V2 annotations) as video files in data/diving48, with clips as for
# Something-Something V2. No class changes in a mirrored video.
_base_ = './sthv2.py'

data_root = 'data/diving48'
train_pipeline = _base_.train_pipeline
train_pipeline[5] = dict(type='Flip', flip_ratio=0.5)
train_dataloader = dict(
    dataset=dict(
        data_root=data_root,
        ann_file='diving48_train_list_videos.txt',
        pipeline=train_pipeline,
    )
)
val_dataloader = dict(
    dataset=dict(data_root=data_root, ann_file='diving48_val_list_videos.txt')
)
test_dataloader = val_dataloader
