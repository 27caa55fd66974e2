# glore_r50_8x8_hmdb51.py on split 2.
_base_ = './glore_r50_8x8_hmdb51.py'

train_dataloader = dict(dataset=dict(ann_file='hmdb51_train_split_2_videos.txt'))
val_dataloader = dict(dataset=dict(ann_file='hmdb51_val_split_2_videos.txt'))
test_dataloader = val_dataloader
