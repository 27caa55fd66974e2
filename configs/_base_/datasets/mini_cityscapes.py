# The generated street scenes of `make demo` in data/mini_cityscapes.
_base_ = './cityscapes.py'

data_root = 'data/mini_cityscapes'
train_pipeline = [
    _base_.load_image,
    dict(type='LoadLabels'),
    dict(
        type='RandomResize', scale=(256, 128), ratio_range=(0.75, 1.5), keep_ratio=True
    ),
    dict(type='RandomCrop', crop_size=(96, 192), cat_max_ratio=0.75),
    dict(type='RandomFlip', prob=0.5),
    dict(type='PhotoMetricDistortion'),
    dict(type='PackSegInputs'),
]
test_pipeline = [
    _base_.load_image,
    dict(type='Resize', scale=(256, 128), keep_ratio=True),
    dict(type='LoadLabels'),
    dict(type='PackSegInputs'),
]
train_dataloader = dict(
    batch_size=4,
    num_workers=1,
    dataset=dict(data_root=data_root, pipeline=train_pipeline),
)
val_dataloader = dict(
    num_workers=1, dataset=dict(data_root=data_root, pipeline=test_pipeline)
)
test_dataloader = val_dataloader
