# 32 frames, 2 apart, in place of 8 frames, 8 apart.
_base_ = [
    '../_base_/models/glore_r50_3d.py',
    '../_base_/datasets/kinetics400_32x2.py',
    '../_base_/schedules/kinetics400_release.py',
    '../_base_/video_runtime.py',
]
