# Kinetics-700 as video files in data/kinetics700, in the layout of Kinetics-400,
# with the class names in label_map.txt.
_base_ = './kinetics400.py'

data_root = 'data/kinetics700'
clips = dict(data_root=data_root, classes='label_map.txt')
train_dataloader = dict(
    dataset=dict(clips, ann_file='kinetics700_train_list_videos.txt')
)
val_dataloader = dict(dataset=dict(clips, ann_file='kinetics700_val_list_videos.txt'))
test_dataloader = val_dataloader
del clips
