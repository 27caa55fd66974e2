# Clips of 32 frames, 2 apart: the same span as 8 frames, 8 apart.
_base_ = './kinetics400.py'

train_pipeline = _base_.train_pipeline
train_pipeline[1].update(clip_len=32, frame_interval=2)  # StrictSampleFrames
val_pipeline = _base_.val_pipeline
val_pipeline[1].update(clip_len=32, frame_interval=2)
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=val_pipeline))
test_dataloader = val_dataloader
