# The baseline: the same network without units.
_base_ = [
    '../_base_/models/plain_r50_3d.py',
    '../_base_/datasets/kinetics400.py',
    '../_base_/schedules/kinetics400_release.py',
    '../_base_/video_runtime.py',
]
