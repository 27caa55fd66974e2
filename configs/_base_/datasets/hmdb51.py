# HMDB51 as video files in data/hmdb51, in the layout of UCF101.
_base_ = './ucf101.py'

data_root = 'data/hmdb51'
train_dataloader = dict(
    dataset=dict(data_root=data_root, ann_file='hmdb51_train_split_{split}_videos.txt')
)
val_dataloader = dict(
    dataset=dict(data_root=data_root, ann_file='hmdb51_val_split_{split}_videos.txt')
)
test_dataloader = val_dataloader
