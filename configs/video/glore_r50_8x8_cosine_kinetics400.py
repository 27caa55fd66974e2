# The released network by the cosine recipe, to compare with networks trained by it.
_base_ = [
    '../_base_/models/glore_r50_3d.py',
    '../_base_/datasets/kinetics400.py',
    '../_base_/schedules/kinetics400_cosine.py',
    '../_base_/video_runtime.py',
]
