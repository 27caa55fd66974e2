# LoveDA in data/loveDA. docs/data.md shows the layout. As in mmsegmentation, images of
# 1024×1024 are scaled to 0.25 to 1 of their size for training, and not for testing.
_base_ = './ade20k.py'

data_root = 'data/loveDA'
test_pipeline = _base_.test_pipeline
test_pipeline[1].update(scale=(1024, 1024))  # Resize
train_dataloader = dict(
    dataset=dict(
        type='LoveDA',
        data_root=data_root,
        data_prefix=dict(img_path='img_dir/train', seg_map_path='ann_dir/train'),
    )
)
val_dataloader = dict(
    dataset=dict(
        type='LoveDA',
        data_root=data_root,
        data_prefix=dict(img_path='img_dir/val', seg_map_path='ann_dir/val'),
        pipeline=test_pipeline,
    )
)
test_dataloader = val_dataloader
