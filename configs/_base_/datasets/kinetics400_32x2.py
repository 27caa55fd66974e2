# Clips of 32 frames with interval 2: the same duration as 8 frames with interval 8.
_base_ = './kinetics400.py'

train_pipeline = _base_.train_pipeline
train_pipeline[1].update(clip_len=32, frame_interval=2)  # StrictSampleFrames
val_pipeline = _base_.val_pipeline
val_pipeline[1].update(clip_len=32, frame_interval=2)
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=val_pipeline))
test_dataloader = val_dataloader
