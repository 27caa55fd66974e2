# The generated photographs of `make demo-cls` in data/mini_imagenet, made small, so
# that a few layers see the whole picture. No crops and no flips: they change the class.
_base_ = './class_folders.py'

data_root = 'data/mini_imagenet'
train_pipeline = [
    dict(type='LoadPhotograph'),
    dict(type='Resize', scale=(32, 32), interpolation='area'),
    dict(type='PackInputs'),
]
train_dataloader = dict(dataset=dict(data_root=data_root, pipeline=train_pipeline))
val_dataloader = dict(
    num_workers=1, dataset=dict(data_root=data_root, pipeline=train_pipeline)
)
test_dataloader = val_dataloader
