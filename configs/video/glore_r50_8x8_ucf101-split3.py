# glore_r50_8x8_ucf101.py on split 3.
_base_ = './glore_r50_8x8_ucf101.py'

train_dataloader = dict(dataset=dict(ann_file='ucf101_train_split_3_videos.txt'))
val_dataloader = dict(dataset=dict(ann_file='ucf101_val_split_3_videos.txt'))
test_dataloader = val_dataloader
