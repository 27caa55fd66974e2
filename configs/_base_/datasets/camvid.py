# CamVid in data/camvid, in the layout of the SegNet tutorial (train, trainannot, test,
# testannot) or in that of Cityscapes. docs/data.md shows both.
_base_ = './cityscapes.py'

dataset_type = 'CamVid'
data_root = 'data/camvid'
train_pipeline = [
    _base_.load_image,
    dict(type='LoadLabels'),
    dict(
        type='RandomResize', scale=(480, 360), ratio_range=(0.5, 1.5), keep_ratio=True
    ),
    dict(type='RandomCrop', crop_size=(180, 240), cat_max_ratio=0.75),
    dict(type='RandomFlip', prob=0.5),
    dict(type='PhotoMetricDistortion'),
    dict(type='PackSegInputs'),
]
test_pipeline = [
    _base_.load_image,
    dict(type='Resize', scale=(480, 360), keep_ratio=True),
    dict(type='LoadLabels'),
    dict(type='PackSegInputs'),
]
train_dataloader = dict(
    batch_size=4,
    dataset=dict(
        _delete_=True,
        type=dataset_type,
        data_root=data_root,
        split='train',
        pipeline=train_pipeline,
    ),
)
val_dataloader = dict(
    num_workers=2,
    dataset=dict(
        _delete_=True,
        type=dataset_type,
        data_root=data_root,
        split='test',
        pipeline=test_pipeline,
    ),
)
test_dataloader = val_dataloader
