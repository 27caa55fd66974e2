# plain_r18_table.py with any number of labels per image. The metrics are the mean
# average precision, and precision, recall and F1 at a threshold of 0.5.
_base_ = './plain_r18_table.py'

model = dict(
    head=dict(
        _delete_=True,
        type='MultiLabelLinearClsHead',
        num_classes=None,
        in_channels=512,
        loss=dict(type='CrossEntropyLoss', use_sigmoid=True),
    )
)
train_dataloader = dict(dataset=dict(multi_label=True))
val_dataloader = dict(dataset=dict(multi_label=True))
test_dataloader = val_dataloader
val_evaluator = [
    dict(type='AveragePrecision'),
    dict(type='MultiLabelMetric', thr=0.5),
]
test_evaluator = val_evaluator
default_hooks = dict(checkpoint=dict(save_best='multi-label/mAP'))
