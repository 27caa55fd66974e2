# The generated street scenes of `make demo-seg` in data/mini_cityscapes.
_base_ = './cityscapes.py'

data_root = 'data/mini_cityscapes'
train_pipeline = _base_.train_pipeline
train_pipeline[2].update(scale=(256, 128), ratio_range=(0.75, 1.5))  # RandomResize
train_pipeline[3].update(crop_size=(96, 192))  # RandomCrop
test_pipeline = _base_.test_pipeline
test_pipeline[1].update(scale=(256, 128))  # Resize
train_dataloader = dict(
    batch_size=4,
    num_workers=1,
    dataset=dict(data_root=data_root, pipeline=train_pipeline),
)
val_dataloader = dict(
    num_workers=1, dataset=dict(data_root=data_root, pipeline=test_pipeline)
)
test_dataloader = val_dataloader
