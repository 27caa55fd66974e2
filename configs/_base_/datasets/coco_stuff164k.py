# COCO-Stuff 164k in data/coco_stuff164k, with the sizes of ADE20K. docs/data.md shows
# the layout.
_base_ = './ade20k.py'

data_root = 'data/coco_stuff164k'
train_dataloader = dict(
    dataset=dict(
        type='COCOStuff',
        data_root=data_root,
        data_prefix=dict(
            img_path='images/train2017', seg_map_path='annotations/train2017'
        ),
    )
)
val_dataloader = dict(
    dataset=dict(
        type='COCOStuff',
        data_root=data_root,
        data_prefix=dict(img_path='images/val2017', seg_map_path='annotations/val2017'),
    )
)
test_dataloader = val_dataloader
