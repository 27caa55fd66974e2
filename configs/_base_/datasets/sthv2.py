# Something-Something V2 as video files in data/sthv2; docs/video_data.md shows the
# layout and the lists. A clip is 16 frames, spread evenly over the video. Augmentation
# as for Kinetics.
_base_ = './kinetics400.py'

data_root = 'data/sthv2'
# a mirrored video has another class: left to right, right to left
flip_label_map = {86: 87, 87: 86, 93: 94, 94: 93, 166: 167, 167: 166}
train_pipeline = _base_.train_pipeline
train_pipeline[1] = dict(type='UniformSample', clip_len=16)
train_pipeline[5] = dict(type='Flip', flip_ratio=0.5, flip_label_map=flip_label_map)
val_pipeline = _base_.val_pipeline
val_pipeline[1] = dict(type='UniformSample', clip_len=16, test_mode=True)
clips = dict(
    data_root=data_root, data_prefix=dict(video='videos'), classes='label_map.txt'
)
train_dataloader = dict(
    dataset=dict(clips, ann_file='sthv2_train_list_videos.txt', pipeline=train_pipeline)
)
val_dataloader = dict(
    dataset=dict(clips, ann_file='sthv2_val_list_videos.txt', pipeline=val_pipeline)
)
test_dataloader = val_dataloader
del clips
