_base_ = './cityscapes.py'

train_pipeline = _base_.train_pipeline
train_pipeline[2].update(scale=(2049, 1025))  # RandomResize
train_pipeline[3].update(crop_size=(769, 769))  # RandomCrop
test_pipeline = _base_.test_pipeline
test_pipeline[1].update(scale=(2049, 1025))  # Resize
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader
