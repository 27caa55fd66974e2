# The baseline of glore_slowfast_r50_8x8_kinetics400.py.
_base_ = [
    '../_base_/models/slowfast_r50.py',
    '../_base_/datasets/kinetics400_32x2.py',
    '../_base_/schedules/kinetics400_cosine.py',
    '../_base_/video_runtime.py',
]
