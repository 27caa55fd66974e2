# CHASE_DB1 in data/CHASE_DB1: retinal vessels. docs/data.md shows the layout.
_base_ = './ade20k.py'

data_root = 'data/CHASE_DB1'
train_pipeline = _base_.train_pipeline
train_pipeline[2].update(scale=(960, 999))  # RandomResize
train_pipeline[3].update(crop_size=(128, 128))  # RandomCrop
test_pipeline = _base_.test_pipeline
test_pipeline[1].update(scale=(960, 999))  # Resize
train_dataloader = dict(
    dataset=dict(type='CHASEDB1', data_root=data_root, pipeline=train_pipeline)
)
val_dataloader = dict(
    dataset=dict(type='CHASEDB1', data_root=data_root, pipeline=test_pipeline)
)
test_dataloader = val_dataloader
val_evaluator = dict(iou_metrics=['mDice'])
test_evaluator = val_evaluator
