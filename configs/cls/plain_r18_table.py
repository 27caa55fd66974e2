# plain_r18_custom.py on images with labels in a CSV table, one label per image.
#
#   python tools/train.py configs/cls/plain_r18_table.py \
#       --cfg-options data_root=/data/leaves table=labels.csv images=photos
_base_ = './plain_r18_custom.py'

table = dict(
    _delete_=True,
    type='ImageTable',
    data_root='data/custom',
    table='labels.csv',  # or {split}.csv
    images='',
    img_suffix='',
    classes=None,
    multi_label=False,
    separator=None,
    val_share=0.2,
    split_seed=0,
)
train_dataloader = dict(
    dataset=dict(table, split='train', pipeline=_base_.train_pipeline)
)
val_dataloader = dict(
    dataset=dict(table, split='val', pipeline=_base_.test_pipeline, test_mode=True)
)
test_dataloader = val_dataloader
del table
