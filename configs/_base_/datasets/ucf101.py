# The first split of UCF101 as video files in data/ucf101; docs/kinetics.md shows the
# format of the lists. Clips and augmentation as for Kinetics.
_base_ = './kinetics400.py'

clips = dict(data_root='data/ucf101', data_prefix=dict(video='videos'))
clips.update(classes='label_map.txt')
train_dataloader = dict(
    dataset=dict(ann_file='ucf101_train_split_1_videos.txt', **clips)
)
val_dataloader = dict(dataset=dict(ann_file='ucf101_val_split_1_videos.txt', **clips))
test_dataloader = val_dataloader
