# Pascal Context without its background in data/VOCdevkit/VOC2010. docs/data.md shows
# the layout.
_base_ = './cityscapes.py'

data_root = 'data/VOCdevkit/VOC2010'
train_pipeline = _base_.train_pipeline
train_pipeline[2].update(scale=(520, 520))  # RandomResize
train_pipeline[3].update(crop_size=(480, 480))  # RandomCrop
test_pipeline = _base_.test_pipeline
test_pipeline[1].update(scale=(520, 520))  # Resize
files = dict(
    type='PascalContext59',
    data_root=data_root,
    data_prefix=dict(img_path='JPEGImages', seg_map_path='SegmentationClassContext'),
)
train_dataloader = dict(
    batch_size=4,
    num_workers=4,
    dataset=dict(
        ann_file='ImageSets/SegmentationContext/train.txt',
        pipeline=train_pipeline,
        **files,
    ),
)
val_dataloader = dict(
    dataset=dict(
        ann_file='ImageSets/SegmentationContext/val.txt',
        pipeline=test_pipeline,
        **files,
    ),
)
test_dataloader = val_dataloader
del files
