# ImageNet-1k with crops of 512 pixels instead of 224; test images are larger in
# proportion.
_base_ = './imagenet.py'

train_pipeline = _base_.train_pipeline
train_pipeline[1].update(scale=512)  # RandomResizedCrop
test_pipeline = _base_.test_pipeline
test_pipeline[1].update(scale=585)  # ResizeEdge
test_pipeline[2].update(crop_size=512)  # CenterCrop
tta_pipeline = [*test_pipeline[:-1], _base_.tta_pipeline[-1]]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader
