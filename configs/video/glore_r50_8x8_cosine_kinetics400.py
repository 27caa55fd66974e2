# The released network with the cosine recipe, for comparison with other networks that
# use it.
_base_ = [
    '../_base_/models/glore_r50_3d.py',
    '../_base_/datasets/kinetics400.py',
    '../_base_/schedules/kinetics400_cosine.py',
    '../_base_/video_runtime.py',
]
