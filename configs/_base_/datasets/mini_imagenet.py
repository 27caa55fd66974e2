# The generated images of `make demo-cls` in data/mini_imagenet, resized. No random
# crops and no flips, as the class would be lost or changed.
_base_ = './class_folders.py'

data_root = 'data/mini_imagenet'
train_pipeline = [
    dict(type='LoadImage'),
    dict(type='ResizeEdge', scale=80, edge='short', interpolation='area'),
    dict(type='CenterCrop', crop_size=80),
    dict(type='PackInputs'),
]
tta_pipeline = [
    *train_pipeline[:-1],
    dict(type='TestTimeAug', transforms=[[dict(type='PackInputs')]]),
]
train_dataloader = dict(dataset=dict(data_root=data_root, pipeline=train_pipeline))
val_dataloader = dict(
    num_workers=1, dataset=dict(data_root=data_root, pipeline=train_pipeline)
)
test_dataloader = val_dataloader
