# ADE20K in data/ade/ADEChallengeData2016: ADEChallengeData2016.zip, extracted.
# docs/data.md shows the layout.
_base_ = './cityscapes.py'

data_root = 'data/ade/ADEChallengeData2016'
train_pipeline = _base_.train_pipeline
train_pipeline[2].update(scale=(2048, 512))  # RandomResize
train_pipeline[3].update(crop_size=(512, 512))  # RandomCrop
test_pipeline = _base_.test_pipeline
test_pipeline[1].update(scale=(2048, 512))  # Resize
train_dataloader = dict(
    batch_size=4,
    num_workers=4,
    dataset=dict(
        type='ADE20K',
        data_root=data_root,
        data_prefix=dict(
            img_path='images/training', seg_map_path='annotations/training'
        ),
        pipeline=train_pipeline,
    ),
)
val_dataloader = dict(
    dataset=dict(
        type='ADE20K',
        data_root=data_root,
        data_prefix=dict(
            img_path='images/validation', seg_map_path='annotations/validation'
        ),
        pipeline=test_pipeline,
    ),
)
test_dataloader = val_dataloader
