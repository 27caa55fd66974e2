# The baseline of glore_slowonly_r50_8x8_kinetics400.py.
_base_ = [
    '../_base_/models/slowonly_r50.py',
    '../_base_/datasets/kinetics400.py',
    '../_base_/schedules/kinetics400_steps.py',
    '../_base_/video_runtime.py',
]

train_dataloader = dict(batch_size=16)
