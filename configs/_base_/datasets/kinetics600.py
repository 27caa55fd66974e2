# Kinetics-600 as video files in data/kinetics600, in the layout of Kinetics-400,
# with the class names in label_map.txt.
_base_ = './kinetics400.py'

data_root = 'data/kinetics600'
clips = dict(data_root=data_root, classes='label_map.txt')
train_dataloader = dict(
    dataset=dict(clips, ann_file='kinetics600_train_list_videos.txt')
)
val_dataloader = dict(dataset=dict(clips, ann_file='kinetics600_val_list_videos.txt'))
test_dataloader = val_dataloader
del clips
