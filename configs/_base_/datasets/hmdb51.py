# The first split of HMDB51 as video files in data/hmdb51.
_base_ = './ucf101.py'

train_dataloader = dict(
    dataset=dict(data_root='data/hmdb51', ann_file='hmdb51_train_split_1_videos.txt')
)
val_dataloader = dict(
    dataset=dict(data_root='data/hmdb51', ann_file='hmdb51_val_split_1_videos.txt')
)
test_dataloader = val_dataloader
