# UCF101 as video files in data/ucf101; docs/video_data.md shows the layout and the
# lists. Clips and augmentation as for Kinetics; short videos restart. For the other
# splits: --cfg-options split=2
_base_ = './kinetics400.py'

data_root = 'data/ucf101'
train_pipeline = _base_.train_pipeline
val_pipeline = _base_.val_pipeline
for pipeline in (train_pipeline, val_pipeline):
    pipeline[1].update(out_of_bound_opt='loop')  # StrictSampleFrames
clips = dict(
    data_root=data_root,
    data_prefix=dict(video='videos'),
    classes='label_map.txt',
    split=1,
)
train_dataloader = dict(
    dataset=dict(
        clips, ann_file='ucf101_train_split_{split}_videos.txt', pipeline=train_pipeline
    )
)
val_dataloader = dict(
    dataset=dict(
        clips, ann_file='ucf101_val_split_{split}_videos.txt', pipeline=val_pipeline
    )
)
test_dataloader = val_dataloader
del clips, pipeline
