# CamVid in data/camvid, in the layout of the SegNet tutorial (train, trainannot, test,
# testannot) or in that of Cityscapes. docs/data.md shows both.
_base_ = './cityscapes.py'

dataset_type = 'CamVid'
data_root = 'data/camvid'
train_pipeline = _base_.train_pipeline
train_pipeline[2].update(scale=(480, 360), ratio_range=(0.5, 1.5))  # RandomResize
train_pipeline[3].update(crop_size=(180, 240))  # RandomCrop
test_pipeline = _base_.test_pipeline
test_pipeline[1].update(scale=(480, 360))  # Resize
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
