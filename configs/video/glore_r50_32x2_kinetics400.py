# glore_r50_8x8_kinetics400.py on 32 frames with interval 2 instead of 8 frames with
# interval 8.
_base_ = [
    '../_base_/models/glore_r50_3d.py',
    '../_base_/datasets/kinetics400_32x2.py',
    '../_base_/schedules/kinetics400_release.py',
    '../_base_/video_runtime.py',
]
