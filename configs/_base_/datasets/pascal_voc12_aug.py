# Pascal VOC 2012 with the extra labels of SBD in data/VOCdevkit/VOC2012.
# docs/data.md shows the layout.
_base_ = './cityscapes.py'

dataset_type = 'PascalVOC'
data_root = 'data/VOCdevkit/VOC2012'
train_pipeline = _base_.train_pipeline
train_pipeline[2].update(scale=(2048, 512))  # RandomResize
train_pipeline[3].update(crop_size=(512, 512))  # RandomCrop
test_pipeline = _base_.test_pipeline
test_pipeline[1].update(scale=(2048, 512))  # Resize
train_dataloader = dict(
    batch_size=4,
    dataset=dict(
        _delete_=True,
        type='ConcatDataset',
        datasets=[
            dict(
                type=dataset_type,
                data_root=data_root,
                data_prefix=dict(img_path='JPEGImages', seg_map_path=labels),
                ann_file=f'ImageSets/Segmentation/{split}.txt',
                pipeline=train_pipeline,
            )
            for split, labels in (
                ('train', 'SegmentationClass'),
                ('aug', 'SegmentationClassAug'),
            )
        ],
    ),
)
val_dataloader = dict(
    dataset=dict(
        _delete_=True,
        type=dataset_type,
        data_root=data_root,
        data_prefix=dict(img_path='JPEGImages', seg_map_path='SegmentationClass'),
        ann_file='ImageSets/Segmentation/val.txt',
        pipeline=test_pipeline,
    ),
)
test_dataloader = val_dataloader
